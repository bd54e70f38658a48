"""A model whose parts lie on many ranks, as each of them can use it alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from omni.model import OmniTransformer
from omni.nn.weightless import weightless


def whole_model(model: OmniTransformer) -> OmniTransformer:
    """The model itself where nothing of it is split; otherwise a copy with all weights, in evaluation mode.

    All ranks call it together, and each then has room for the whole model beside its part. Ranks that generate or
    score documents of their own run different numbers of forward passes, in which they can't wait for each other.
    """
    split = any(isinstance(parameter, DTensor) for parameter in model.parameters())
    if not split and model.shards is None:
        return model
    with weightless():
        copy = OmniTransformer(model.config, model.vocabulary)
    device = next(model.buffers()).device
    weights = {name: _gathered(tensor, device) for name, tensor in model.state_dict().items()}
    copy.load_state_dict(weights, assign=True)
    return copy.to(device).eval()


def _gathered(tensor: Tensor, device: torch.device) -> Tensor:
    if not isinstance(tensor, DTensor):
        return tensor.detach().clone()
    whole = tensor.full_tensor()
    assert isinstance(whole, Tensor)
    return whole.to(device)
