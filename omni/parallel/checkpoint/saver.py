"""Saves while training goes on: a copy is taken at once, and written in the background by all ranks.

Whatever goes wrong leaves the checkpoints that are there as they are, and is told to all ranks. The copy and the
writing are ``torch.distributed.checkpoint.async_save``'s; its ranks talk over a gloo group of their own, so that
they never meet those of training.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from omni.snapshot.accounts import shortfall
from omni.snapshot.folder import aside, link_last, prune, publish
from omni.snapshot.manifest import FileSum, Manifest, SavedTensor, sum_of, write_manifest
from omni.snapshot.storage import FolderWriter, Tensors


class SaveError(RuntimeError):
    """A checkpoint could not be saved; those before it are as they were."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a checkpoint goes, and what goes with its tensors."""

    folder: Path
    run: str
    step: int
    files: Mapping[str, bytes]
    """Besides the tensors, by relative path."""
    expected: Mapping[str, Seq[int]]
    """Shapes of tensors that must be there as wholes."""
    keep: int = 0
    """Checkpoints of the run that stay; 0 for all."""
    spared: Path | None = None
    """A checkpoint that stays in any case."""
    link: bool = True
    """Let ``last.ckpt`` name it."""


class Saver:
    """Saves one checkpoint at a time. All ranks of the group make the same calls."""

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        """
        Args:
            group: ranks that save together, over gloo; by default one of all ranks, which is made at the first save.
        """
        self.group = group
        self._stager: DefaultStager | None = None
        self._saving: tuple[Path, Future[Any]] | None = None

    def save(self, tensors: Tensors, target: Target) -> None:
        """Begin to save; tensors may change as soon as it returns.

        Raises:
            RuntimeError: the save before has not been waited for.
        """
        if self._saving is not None:
            raise RuntimeError(f"{self._saving[0]} is still being saved: wait() first")
        writer = FolderWriter(
            folder=aside(target.folder),
            prepare=lambda: _prepare(target),
            done=lambda saved, files: _finish(target, saved, files, self._world()),
        )
        if self._stager is None:
            cuda = torch.cuda.is_available()
            self._stager = DefaultStager(StagingOptions(cuda, False, False, cuda))
        future = dcp.async_save(
            tensors,
            storage_writer=writer,
            process_group=self._ranks(),
            async_stager=self._stager,
            no_dist=not dist.is_initialized(),
        )
        assert isinstance(future, Future), future  # as the copy is taken at once
        self._saving = target.folder, future

    def failed(self) -> SaveError | None:
        """What went wrong with what is being saved, where that is known already; ``wait`` raises it."""
        if self._saving is None or not self._saving[1].done():
            return None
        try:
            self._outcome(*self._saving, 0.0)
        except SaveError as error:
            return error
        return None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until what is being saved is there; false where nothing is being saved.

        Raises:
            SaveError: it could not be saved; names the checkpoint, the ranks and their reasons.
        """
        if self._saving is None:
            return False
        saving, self._saving = self._saving, None
        self._outcome(*saving, seconds)
        return True

    def _outcome(self, folder: Path, future: Future[Any], seconds: float | None) -> None:
        try:
            future.result(seconds)
        except TimeoutError:
            raise SaveError(f"{folder}: not saved within {seconds} seconds") from None
        except dcp.CheckpointException as error:
            self._discard(folder)
            reasons = {f"rank {rank}: {_said(cause)}" for rank, (cause, _) in error.failures.items()}
            raise SaveError(f"{folder}: not saved; {'; '.join(sorted(reasons))}") from error
        except Exception as error:
            self._discard(folder)
            raise SaveError(f"{folder}: not saved; {_said(error)}") from error

    def close(self) -> None:
        """Give the memory of the copies back."""
        if self._stager is not None:
            self._stager.close()
            self._stager = None

    def _ranks(self) -> dist.ProcessGroup | None:
        if self.group is None and dist.is_initialized():
            group = dist.new_group(backend="gloo")
            assert isinstance(group, dist.ProcessGroup), group  # this rank is in it
            self.group = group
        return self.group

    def _discard(self, folder: Path) -> None:
        """On the first rank alone, which is also the one that makes the folder of the next save."""
        if not dist.is_initialized() or dist.get_rank(self.group) == 0:
            shutil.rmtree(aside(folder), ignore_errors=True)

    def _world(self) -> int:
        return dist.get_world_size(self.group) if dist.is_initialized() else 1


def _prepare(target: Target) -> None:
    folder = aside(target.folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _finish(target: Target, tensors: dict[str, SavedTensor], files: dict[str, FileSum], world: int) -> None:
    """Write what goes with the tensors and the manifest, and publish."""
    folder = aside(target.folder)
    if lacking := shortfall(tensors, target.expected):
        raise ValueError(f"the checkpoint would not be whole: {'; '.join(lacking)}")
    for name, content in target.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files[name] = sum_of(path)
    write_manifest(folder, Manifest(target.run, target.step, world, time.time(), files, tensors))
    publish(target.folder)
    if target.link:
        link_last(target.folder)
    prune(target.folder, target.run, target.keep, target.spared)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
