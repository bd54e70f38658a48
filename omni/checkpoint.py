"""What a checkpoint carries besides the weights, so that it works alone: model sizes and tokenizers.

No pickle: everything is tensors, strings, numbers and bytes, and is loaded with ``weights_only=True``.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch

from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, Vocabulary
from omni.tokenizers.bundle import Tokenizers

CHECKPOINT_KEY = "omni"
MODEL_PREFIX = "model."
"""Name of the model inside the LightningModules of this project."""


def describe(config: ModelConfig, tokenizers: Tokenizers) -> dict[str, Any]:
    """The entry that a checkpoint keeps under ``CHECKPOINT_KEY``."""
    return {"network": asdict(config), "tokenizers": tokenizers.files()}


def load_model(path: Path | str, device: torch.device | str = "cpu") -> tuple[OmniTransformer, Tokenizers]:
    """The model of a checkpoint, in evaluation mode, and its tokenizers.

    Raises:
        ValueError: no checkpoint there, a damaged one, or not one of this project; no such device here.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint file")
    _check_device(device)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError ... for a damaged file
        raise ValueError(
            f"{path}: not a checkpoint of `omni fit` or `omni demo`, or damaged ({type(error).__name__})"
        ) from None  # torch's own message advises weights_only=False
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"{path}: no {CHECKPOINT_KEY!r} entry, so not a checkpoint of `omni fit`")
    kept = checkpoint[CHECKPOINT_KEY]
    tokenizers = Tokenizers.from_files(kept["tokenizers"])
    config = config_from_dict(ModelConfig, kept["network"], f"{path}: network")
    model = OmniTransformer(config, vocabulary_of(tokenizers))
    weights = {
        name.removeprefix(MODEL_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(MODEL_PREFIX)
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # a checkpoint of another version
        raise ValueError(f"{path}: its weights don't fit its config: {error}") from error
    return model.to(device).eval(), tokenizers


def _check_device(device: torch.device | str) -> None:
    """Before the file is read, which can take long."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device {str(device)!r} can't be used here: {reason}") from error


def config_from_dict(cls: type, values: dict[str, Any], where: str) -> Any:
    """A dataclass from nested dicts; what they leave out takes its default."""
    hints = get_type_hints(cls)
    if unknown := sorted(set(values) - set(hints)):
        raise ValueError(f"{where}: unknown keys {unknown}, expected some of {sorted(hints)}")
    return cls(
        **{
            name: config_from_dict(hints[name], value, f"{where}.{name}")
            if is_dataclass(hints[name])
            else value
            for name, value in values.items()
        }
    )


def vocabulary_of(tokenizers: Tokenizers) -> Vocabulary:
    """What a set of tokenizers fixes about a model."""
    return Vocabulary(
        text=tokenizers.text.vocab_size,
        patch_values=tokenizers.image.patch_values,
        max_grid=tokenizers.image.config.max_grid,
        codebooks=tokenizers.audio.codebooks,
        codebook_size=tokenizers.audio.codebook_size,
    )
