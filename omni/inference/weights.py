"""In what weights are kept and multiplied while a model generates."""

from __future__ import annotations

import torch

from omni.inference.int8 import to_int8
from omni.model import OmniTransformer

WEIGHTS = ("fp32", "bf16", "int8")


def keep_weights(model: OmniTransformer, weights: str) -> None:
    """Turn a model's weights, in place and for good; routers stay in fp32.

    Args:
        model: in fp32.
        weights: ``fp32`` leaves them; ``bf16`` halves what is read for each token, ``int8`` quarters it. What they
            cost is in docs/inference.md.

    Raises:
        ValueError: unknown weights.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}, expected one of {list(WEIGHTS)}")
    if weights == "int8":
        to_int8(model)
    elif weights == "bf16":
        model.to(torch.bfloat16)
        for router in model.routers():
            router.float()
