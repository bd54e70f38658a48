"""Checkpoints for strategies whose ranks have a part of the model each."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from omni.parallel.checkpoint.contents import examine, expected_shapes, pack, unpack
from omni.parallel.checkpoint.names import OPTIMIZER, WEIGHTS, aliases, join
from omni.parallel.checkpoint.saver import Saver, Target
from omni.snapshot.accounts import listed
from omni.snapshot.folder import newest_whole, remove
from omni.snapshot.manifest import Manifest, SavedTensor
from omni.snapshot.read import read_whole
from omni.snapshot.storage import FolderReader, Tensors, dtype_of


class ShardedCheckpoints(ModelParallelStrategy):
    """``ModelParallelStrategy`` with checkpoints of this project: any mesh loads what any other saved.

    Weights and optimizer states may be DTensors of any mesh, or plain tensors that are the same on all ranks.
    """

    _saver: Saver | None = None

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning hands the loaded states to the optimizers, as for one rank."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """This rank's part, where it lies; what saves it copies it."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """This rank's part."""
        return (optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer).state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Path | str, storage_options: Any | None = None
    ) -> None:
        """Save at once, as ``trainer.save_checkpoint`` asks; ``Checkpoints`` saves in the background.

        Raises:
            SaveError: it can't be saved.
        """
        assert self.lightning_module is not None
        folder = Path(self.broadcast(str(filepath)))
        tensors, files = pack(checkpoint, self.lightning_module, self.optimizers)
        target = Target(
            folder=folder,
            run=self.broadcast(uuid4().hex),
            step=checkpoint["global_step"],
            files=files,
            expected=expected_shapes(self.lightning_module),
            link=False,
        )
        self._saver = self._saver or Saver()  # it has a process group of its own
        self._saver.save(tensors, target)
        self._saver.wait()

    def load_checkpoint(
        self, checkpoint_path: Path | str, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Fill this rank's weights, and make its optimizer states; the rest is handed to Lightning.

        Raises:
            DamagedError: the checkpoint is damaged, and no other is taken in its place; names the files.
            ValueError: it is a single file, or its weights aren't those of the model; lists them.
        """
        assert self.lightning_module is not None
        path = Path(self.broadcast(str(checkpoint_path)))
        if not path.is_dir():
            raise ValueError(
                f"{path}: no folder of a checkpoint. A single file is for one rank: start from its weights by "
                f"model.init_from, or resume it on one rank and save there"
            )
        folder, manifest = newest_whole(path, examine, rank_zero_warn)
        return join(load_sharded(folder, manifest, self.lightning_module, self.optimizers), unpack(folder))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Nothing: they are loaded in place."""

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Hand their states to the optimizers."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)

    def remove_checkpoint(self, filepath: Path | str) -> None:
        """Remove a checkpoint, on the first rank."""
        if self.is_global_zero:
            remove(Path(filepath))


def load_sharded(
    folder: Path,
    manifest: Manifest,
    module: nn.Module,
    optimizers: Seq[Optimizer],
    group: dist.ProcessGroup | None = None,
) -> Tensors:
    """Read the pieces that this rank has of a module's weights, in place, and of the optimizers' states.

    Args:
        folder: of the checkpoint.
        manifest: of the checkpoint.
        module: whose parameters and buffers are filled.
        optimizers: of its parameters; without any, no states are read.
        group: the ranks that load together; all by default.

    Raises:
        ValueError: weights are missing, unexpected or of another shape; lists them, and nothing is changed.
    """
    tied = aliases(module)
    own = {WEIGHTS + n: t for n, t in module.state_dict().items() if isinstance(t, Tensor) and n not in tied}
    saved = {name: one for name, one in manifest.tensors.items() if name.startswith(WEIGHTS)}
    wrong = {
        "missing": sorted(own.keys() - saved.keys()),
        "unexpected": sorted(saved.keys() - own.keys()),
        "of another shape": [
            f"{name} {list(saved[name].shape)} for {list(tensor.shape)}"
            for name, tensor in own.items()
            if name in saved and saved[name].shape != tuple(tensor.shape)
        ],
    }
    if any(wrong.values()):
        said = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in wrong.items() if names)
        raise ValueError(f"{folder}: its weights don't fit the model: {said}")
    states = _empty_states(manifest, module, len(optimizers))
    everything = {**own, **states}
    if dist.is_initialized():
        dcp.load(dict(everything), storage_reader=FolderReader(folder, manifest), process_group=group)
        return everything
    read = read_whole(folder, manifest, everything)
    with torch.no_grad():
        for name, tensor in everything.items():
            tensor.copy_(read[name])
    return everything


def _empty_states(manifest: Manifest, module: nn.Module, optimizers: int) -> Tensors:
    """Tensors for the optimizers' states, each spread as its parameter is."""
    parameters = dict(module.named_parameters())
    states: Tensors = {}
    for full, saved in manifest.tensors.items():
        kind, _, name = full.partition("/")
        number, _, name = name.partition("/")
        if f"{kind}/" == OPTIMIZER and int(number) < optimizers:
            states[full] = _like(parameters.get(name.rpartition("/")[0]), saved)
    return states


def _like(parameter: Tensor | None, saved: SavedTensor) -> Tensor:
    dtype = dtype_of(saved)
    if parameter is not None and tuple(parameter.shape) == saved.shape:
        return torch.empty_like(parameter, dtype=dtype, requires_grad=False)
    return torch.empty(saved.shape, dtype=dtype)  # such as a count of steps
