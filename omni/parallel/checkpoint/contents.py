"""What a checkpoint's folder holds of a run, besides the lists of ``omni.snapshot``.

    config.json, tokenizers/            as a folder of ``omni export`` has them
    weights-00000.safetensors           a rank's pieces of parameters and buffers
    optimizer-00000.safetensors         and of the optimizer's state
    trainer.pt                          loops, schedules, callbacks, place in the data, generators; small
    manifest.json                       all of these with checksums, and where each tensor's pieces lie

Read with ``weights_only=True``, safetensors and JSON: nothing in it is code.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from omni.checkpoint import CHECKPOINT_KEY, MODEL_PREFIX
from omni.export import CONFIG_FILE, TOKENIZERS_FOLDER, config_file, read_description
from omni.model import OmniTransformer
from omni.parallel.checkpoint.names import WEIGHTS, aliases, split
from omni.snapshot.folder import Examined, examine_all
from omni.snapshot.manifest import damage
from omni.snapshot.storage import Tensors

REST_FILE = "trainer.pt"


def pack(
    checkpoint: Mapping[str, Any], module: nn.Module, optimizers: Seq[Optimizer]
) -> tuple[Tensors, dict[str, bytes]]:
    """Tensors and files of a checkpoint of Lightning's."""
    tensors, rest = split(checkpoint, module, optimizers)
    files: dict[str, bytes] = {}
    if CHECKPOINT_KEY in rest:
        described = dict(rest.pop(CHECKPOINT_KEY))
        files[CONFIG_FILE] = config_file(described.pop("network"))
        for name, content in described.pop("tokenizers").items():
            files[f"{TOKENIZERS_FOLDER}/{name}"] = content
        rest[CHECKPOINT_KEY] = described
    buffer = io.BytesIO()
    torch.save(rest, buffer)
    return tensors, {**files, REST_FILE: buffer.getvalue()}


def unpack(folder: Path) -> dict[str, Any]:
    """The rest of a checkpoint, without its tensors.

    Raises:
        ValueError: a file is missing or damaged.
    """
    rest: dict[str, Any] = torch.load(folder / REST_FILE, map_location="cpu", weights_only=True)
    if CHECKPOINT_KEY in rest:
        network, tokenizers = read_description(folder)
        rest[CHECKPOINT_KEY] = {"network": network, "tokenizers": tokenizers.files(), **rest[CHECKPOINT_KEY]}
    return rest


def expected_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes that the weights of ``module.model`` have as wholes, as its config says."""
    model = getattr(module, MODEL_PREFIX.removesuffix("."), None)
    if not isinstance(model, OmniTransformer):
        return {}
    with torch.device("meta"):
        whole = OmniTransformer(model.config, model.vocabulary)
    tied = aliases(module)
    shapes = {MODEL_PREFIX + name: tuple(tensor.shape) for name, tensor in whole.state_dict().items()}
    return {WEIGHTS + name: shape for name, shape in shapes.items() if name not in tied}


def examine(folder: Path) -> Examined:
    """What is wrong with a checkpoint; ranks read a share of its files each, and all get to know.

    All ranks must call it with the same folder.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return examine_all(folder)
    rank, world = dist.get_rank(), dist.get_world_size()
    manifest, found = examine_all(folder, read=lambda name: False)
    if manifest is not None and not found:
        share = set(sorted(manifest.files)[rank::world])
        found = damage(folder, manifest, needed=share.__contains__, read=share.__contains__)
    told: list[Any] = [None] * world
    dist.all_gather_object(told, found)
    return manifest, sorted({sentence for one in told for sentence in one})
