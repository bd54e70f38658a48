"""What a checkpoint carries besides the weights, so that it works alone: model sizes and tokenizers.

A checkpoint is a folder (``omni.snapshot``), or a single file that Lightning saved. No pickle: everything is tensors,
strings, numbers and bytes, and is loaded from safetensors and JSON, or with ``weights_only=True``. A folder of ``omni
export`` is read as a checkpoint is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch

from omni.export import CONFIG_FILE, TOKENIZERS_FOLDER, Weights, read_description, read_export, tied
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.sharded import fill
from omni.snapshot.folder import examine_all
from omni.snapshot.manifest import MANIFEST_FILE, DamagedError
from omni.snapshot.read import read_whole
from omni.tokenizers.bundle import Tokenizers

CHECKPOINT_KEY = "omni"
MODEL_PREFIX = "model."
"""Name of the model inside the LightningModules of this project."""
WEIGHTS_PREFIX = "weights/"
"""Of the module's tensors in a checkpoint's folder; the optimizer's have another."""


def describe(config: ModelConfig, tokenizers: Tokenizers) -> dict[str, Any]:
    """The entry that a checkpoint keeps under ``CHECKPOINT_KEY``."""
    return {"network": asdict(config), "tokenizers": tokenizers.files()}


def load_model(path: Path | str, device: torch.device | str = "cpu") -> tuple[OmniTransformer, Tokenizers]:
    """The model of a checkpoint or of a folder of ``omni export``, in evaluation mode, and its tokenizers.

    Raises:
        ValueError: as ``read_model``; its weights are not those of its config (the message lists what is missing
            and what is unexpected); no such device here.
    """
    _check_device(device)
    config, tokenizers, weights = read_model(path)
    model = OmniTransformer(config, vocabulary_of(tokenizers))
    take_weights(model, weights, str(path))
    return model.to(device).eval(), tokenizers


def read_model(path: Path | str) -> tuple[ModelConfig, Tokenizers, Weights]:
    """Config, tokenizers and weights of the model of a checkpoint or of a folder of ``omni export``.

    Raises:
        ValueError: neither is there, or it is damaged or not of this project.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such checkpoint file, nor a folder of one or of `omni export`")
    network, tokenizers, weights = _reader(path)(path)
    return config_from_dict(ModelConfig, network, f"{path}: network"), tokenizers, weights


def _reader(path: Path) -> Callable[[Path], tuple[dict[str, Any], Tokenizers, Weights]]:
    if not path.is_dir():
        return _read_file
    return _read_folder if (path / MANIFEST_FILE).exists() else read_export


def _read_folder(folder: Path) -> tuple[dict[str, Any], Tokenizers, Weights]:
    """Sizes of the network, tokenizers and weights, checked; the optimizer's files need not be there."""
    kinds = (CONFIG_FILE, TOKENIZERS_FOLDER, WEIGHTS_PREFIX.rstrip("/"))
    manifest, found = examine_all(folder, needed=lambda name: name.startswith(kinds))
    if manifest is None or found:
        raise DamagedError("; ".join(found))
    prefix = WEIGHTS_PREFIX + MODEL_PREFIX
    read = read_whole(folder, manifest, [name for name in manifest.tensors if name.startswith(prefix)])
    return *read_description(folder), {name.removeprefix(prefix): tensor for name, tensor in read.items()}


def _read_file(path: Path) -> tuple[dict[str, Any], Tokenizers, Weights]:
    """Sizes of the network, tokenizers and weights."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError ... for a damaged file
        raise ValueError(
            f"{path}: not a checkpoint of `omni fit` or `omni demo`, or damaged ({type(error).__name__})"
        ) from None  # torch's own message advises weights_only=False
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"{path}: no {CHECKPOINT_KEY!r} entry, so not a checkpoint of `omni fit`")
    kept = checkpoint[CHECKPOINT_KEY]
    weights = {
        name.removeprefix(MODEL_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(MODEL_PREFIX)
    }
    return kept["network"], Tokenizers.from_files(kept["tokenizers"]), weights


def take_weights(model: OmniTransformer, weights: Weights, where: str, config: str = "its config") -> None:
    """Load all weights into the model; of tied ones one name is enough.

    Raises:
        ValueError: weights are missing, unexpected, of another shape, or tied here and different there; lists them,
            begins with ``where``, and says that they don't fit ``config``.
    """
    own, pairs = model.state_dict(), tied(model)
    given = {name: weights[first] for name, first in pairs.items() if first in weights} | weights
    others = [n for n in own if n in given and own[n].shape != given[n].shape]
    wrong = {
        "missing": [name for name in own if name not in given],
        "unexpected": [name for name in given if name not in own],
        "of another shape": [f"{n} {list(given[n].shape)} for {list(own[n].shape)}" for n in others],
        "tied to another": [
            n
            for n, first in pairs.items()
            if n in weights and first in weights and not torch.equal(weights[n], weights[first])
        ],
    }
    if any(wrong.values()):
        said = "; ".join(f"{len(names)} {kind}: {_listed(names)}" for kind, names in wrong.items() if names)
        raise ValueError(f"{where}: its weights don't fit {config}: {said}")
    for name, tensor in own.items():
        fill(tensor, given[name])


def _listed(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, and {len(names) - most} more"


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
