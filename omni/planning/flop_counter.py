"""torch's FLOP counter with formulas for what it counts as nothing.

``torch.utils.flop_counter`` knows neither grouped products nor the CPU's attention, counts the full square of
causal attention, and takes the gradient of a convolution's weights as if each channel met every other even where it
has groups (depthwise: too much by the number of channels). With the formulas here a counted step agrees with
``omni.planning.flops``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = Any


def flop_counter() -> FlopCounterMode:
    """A counter (a context manager) for a step of the model; ``get_total_flops()`` reads it."""
    formulas: dict[Any, Callable[..., int]] = {
        torch.ops.aten._grouped_mm: _grouped,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        torch.ops.aten.convolution_backward: _convolution_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=formulas)


def _grouped(a: Shape, b: Shape, *args: Any, out_shape: Shape = None, **kwargs: Any) -> int:
    """Rows by group with stacked matrices, or (a weight's gradient) the groups' outer products.

    Either way each row meets one matrix: rows x the two other sizes.
    """
    rows = a[0] if len(a) == 2 and len(b) == 3 else a[1]
    sizes = b[1:] if len(b) == 3 else (a[0], b[1])
    return 2 * rows * sizes[0] * sizes[1]


def _convolution_backward(
    grad: Shape,
    inputs: Shape,
    weight: Shape,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    output_mask: Any,
    *args: Any,
    out_shape: Shape = None,
    **kwargs: Any,
) -> int:
    """The gradients of input and weight cost as much as the forward pass each, where they are wanted."""
    assert not transposed, "only plain convolutions are counted"
    return 2 * grad[0] * prod(grad[2:]) * prod(weight) * sum(output_mask[:2])


def _pairs(query: Shape, key: Shape, causal: bool) -> int:
    """Pairs of a query and a key that it sees, over documents and heads."""
    documents, heads, queries, _ = query
    return documents * heads * (queries * (queries + 1) // 2 if causal else queries * key[2])


def _attention(
    query: Shape,
    key: Shape,
    value: Shape,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *args: Any,
    out_shape: Shape = None,
    **kwargs: Any,
) -> int:
    return 2 * _pairs(query, key, is_causal) * (query[3] + value[3])


def _attention_backward(
    grad: Shape,
    query: Shape,
    key: Shape,
    value: Shape,
    out: Shape,
    logsumexp: Shape,
    dropout_p: float,
    is_causal: bool,
    *args: Any,
    out_shape: Shape = None,
    **kwargs: Any,
) -> int:
    """Five products: the scores again, then the gradients of weights, values, queries and keys."""
    return 2 * _pairs(query, key, is_causal) * (3 * query[3] + 2 * value[3])
