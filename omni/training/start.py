"""Starting a stage from the weights of another: a new optimizer, step 0, the data from its beginning.

``--ckpt_path`` is the other thing: it goes on with the run that saved the checkpoint.
"""

from __future__ import annotations

import copy

from omni.checkpoint import load_model, take_weights
from omni.model import OmniTransformer
from omni.tokenizers.bundle import Tokenizers


def start_from(
    model: OmniTransformer, path: str, tokenizers: Tokenizers, added: tuple[str, ...] = ()
) -> None:
    """Take the weights of a checkpoint or of a folder of ``omni export``.

    Args:
        model: its weights are replaced.
        path: of the checkpoint.
        tokenizers: those of this run, which must be those of the checkpoint.
        added: beginnings of the names of weights that the checkpoint can't have; they stay as they are.

    Raises:
        ValueError: no checkpoint, other tokenizers, or weights that don't fit.
    """
    given, others = load_model(path)
    if others.files() != tokenizers.files():
        raise ValueError(f"{path}: made with other tokenizers than data.tokenizers")
    own = (
        {name: tensor for name, tensor in model.state_dict().items() if name.startswith(added)}
        if added
        else {}
    )
    take_weights(model, given.state_dict() | own, path, "model.network")


def frozen_copy(model: OmniTransformer) -> OmniTransformer:
    """A copy that is never trained: the reference of preference optimisation."""
    return copy.deepcopy(model).eval().requires_grad_(False)
