"""A model as one folder that loads without pickle: weights as safetensors, config as JSON, tokenizers as their files.

    FOLDER/config.json           format, version, and the sizes of the network
    FOLDER/model.safetensors     weights and buffers by name; tied weights once
    FOLDER/tokenizers/           text.model, image.json, audio/ (the codec)

``omni.checkpoint.load_model`` reads it as it does checkpoints.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from omni.model import OmniTransformer
from omni.tokenizers.bundle import Tokenizers

FORMAT = "omni"
VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, TOKENIZERS_FOLDER = "config.json", "model.safetensors", "tokenizers"

Weights = dict[str, Shaped[Tensor, "..."]]


def write_export(folder: Path | str, model: OmniTransformer, tokenizers: Tokenizers) -> None:
    """Write the folder, ``config.json`` last: a folder with it is whole.

    Raises:
        ValueError: the folder has files in it.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: there is something already; export to a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizers.save(folder / TOKENIZERS_FOLDER)
    kept = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    for name in tied(model):
        del kept[name]
    save_file(kept, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_bytes(config_file(asdict(model.config)))


def config_file(network: dict[str, Any]) -> bytes:
    """Content of ``config.json`` for a network of these sizes."""
    config = {"format": FORMAT, "version": VERSION, "network": network}
    return (json.dumps(config, indent=1) + "\n").encode()


def read_export(folder: Path) -> tuple[dict[str, Any], Tokenizers, Weights]:
    """Sizes of the network, tokenizers and weights of a folder.

    Raises:
        ValueError: a file is missing, damaged or of another format; the message names it.
    """
    path = folder / WEIGHTS_FILE
    network, tokenizers = read_description(folder)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `omni export` writes it beside {CONFIG_FILE}")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: no safetensors file, or damaged ({error})") from error
    return network, tokenizers, weights


def read_description(folder: Path) -> tuple[dict[str, Any], Tokenizers]:
    """Sizes of the network and tokenizers of a folder, which may also be a checkpoint's.

    Raises:
        ValueError: a file is missing, damaged or of another format; the message names it.
    """
    network = _network(folder / CONFIG_FILE)
    try:
        return network, Tokenizers.load(folder / TOKENIZERS_FOLDER)
    except ValueError as error:
        raise ValueError(f"{folder / TOKENIZERS_FOLDER}: {error}") from error


def tied(model: OmniTransformer) -> dict[str, str]:
    """Names of weights that are others under a second name, each with the first."""
    first: dict[int, str] = {}
    found = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            found[name] = first[id(parameter)]
    return found


def _network(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file, so not a folder of `omni export`")
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path}: no config of `omni export`: format is not {FORMAT!r}")
    if config.get("version") != VERSION or not isinstance(config.get("network"), dict):
        raise ValueError(f"{path}: version {config.get('version')!r}, expected {VERSION} with a network")
    return config["network"]
