"""Reads checkpoints' folders for Lightning's strategies that keep the whole model on each rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from omni.parallel.checkpoint.contents import examine, unpack
from omni.parallel.checkpoint.names import join
from omni.snapshot.folder import newest_whole
from omni.snapshot.read import read_whole


class FolderIO(TorchCheckpointIO):
    """As Lightning's own, which is for single files; folders are checked and read, whoever saved them.

    ``omni.callbacks.checkpoint.Checkpoints`` writes them, on all ranks together, which this interface can't.
    """

    def load_checkpoint(
        self, path: Path | str, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint as Lightning knows it; its optimizers have names (see ``names.give_numbers``).

        Raises:
            FileNotFoundError: there is nothing.
            DamagedError: it is damaged, and no other is taken in its place; names the files.
        """
        if not Path(path).is_dir():
            return dict(super().load_checkpoint(path, weights_only=True))
        folder, manifest = newest_whole(Path(path), examine, rank_zero_warn)
        return join(read_whole(folder, manifest, manifest.tensors), unpack(folder))
