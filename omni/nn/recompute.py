"""Activation checkpointing of blocks: whole, or all but what is dear to compute (arXiv 2205.05198).

A block that is computed again must not count again: what adds up over forward passes, such as a router's load,
asks ``recomputing()`` first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from omni.nn.context_config import RecomputeConfig

Outputs = TypeVar("Outputs")
Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]
"""Around the forward pass, and around its repetition."""

ATTENTION = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_flash_attention_forward",
    "_efficient_attention_forward",
    "_varlen_attn",
)
"""Names of the kernels of attention, which are always kept."""
PRODUCTS = ("mm", "addmm", "bmm", "_grouped_mm")
"""Names of the matrix products, of which every second one is kept."""

_state = threading.local()


def recomputing() -> bool:
    """Whether this thread runs a forward pass once more for the backward pass."""
    return getattr(_state, "again", False)


def run_block(block: Callable[..., Outputs], layer: int, config: RecomputeConfig, *arguments: Any) -> Outputs:
    """``block(*arguments)``, kept for the backward pass as ``config`` says. Nothing in a block is random."""
    if config.mode == "none" or layer % config.every or not torch.is_grad_enabled():
        return block(*arguments)
    contexts = _all_again if config.mode == "blocks" else _selective
    return checkpoint(block, *arguments, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextmanager
def _again() -> Iterator[None]:
    _state.again = True
    try:
        yield
    finally:
        _state.again = False


@contextmanager
def _both(first: AbstractContextManager[Any], second: AbstractContextManager[Any]) -> Iterator[None]:
    with first, second:
        yield


def _all_again() -> Contexts:
    return nullcontext(), _again()


def _selective() -> Contexts:
    forward, repetition = create_selective_checkpoint_contexts(partial(_policy, {False: 0, True: 0}))
    return forward, _both(repetition, _again())


def _policy(
    products: dict[bool, int], context: SelectiveCheckpointContext, operation: Any, *_: Any, **__: Any
) -> CheckpointPolicy:
    """``products`` counts the matrix products of the forward pass and of its repetition."""
    name = operation.__name__.partition(".")[0]
    if name in PRODUCTS:
        products[context.is_recompute] += 1
    if name in ATTENTION or (name in PRODUCTS and products[context.is_recompute] % 2):
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
