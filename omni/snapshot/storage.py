"""Where torch.distributed.checkpoint puts tensors: safetensors files of each rank, listed in a manifest.

Its own file format keeps its list as a pickle. Its writer for safetensors (``HuggingFaceStorageWriter``) keeps no
list, so that a file which is lost goes unnoticed: the shape of a tensor is read off the pieces that are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint import (
    LoadPlan,
    LoadPlanner,
    SavePlan,
    SavePlanner,
    StorageReader,
    StorageWriter,
)
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import WriteItem
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from omni.snapshot.manifest import FileSum, Manifest, Piece, SavedTensor, sum_of

Tensors = dict[str, Shaped[Tensor, "..."]]


@dataclass(frozen=True)
class Written(WriteResult):
    """A piece that lies in a file, and the file."""

    piece: Piece
    file: FileSum


@dataclass(kw_only=True)
class FolderWriter(StorageWriter):
    """Writes each rank's pieces into ``folder``, a file for each first part of their names (before ``/``)."""

    folder: Path
    prepare: Callable[[], None]
    """Is called on the first rank before anything is written."""
    done: Callable[[dict[str, SavedTensor], dict[str, FileSum]], None]
    """Is called on the first rank when all ranks have written: tensors and files."""
    rank: int = field(default=0, init=False)

    def reset(self, checkpoint_id: str | os.PathLike | None = None) -> None:
        """Nothing: a writer writes one checkpoint."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Make the folder ready."""
        if is_coordinator:
            self.prepare()

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Tell each rank its number."""
        return [SavePlan(plan.items, rank, plan.planner_data) for rank, plan in enumerate(plans)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this rank's pieces.

        Raises:
            Exception: whatever the disk says; all ranks get to know.
        """
        kinds: dict[str, list[WriteItem]] = {}
        for item in plan.items:
            kinds.setdefault(item.index.fqn.partition("/")[0], []).append(item)
        results: list[WriteResult] = []
        for kind, items in kinds.items():
            results += self._write(f"{kind}-{plan.storage_data:05d}.safetensors", items, planner)
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def _write(self, name: str, items: list[WriteItem], planner: SavePlanner) -> list[WriteResult]:
        tensors: Tensors = {}
        pieces, memory = [], set[int]()
        for item in items:
            assert item.tensor_data is not None, item.index.fqn
            chunk, key = item.tensor_data.chunk, item.index.fqn
            if key in tensors:  # a rank may have several boxes of one tensor
                key = f"{key}@{','.join(map(str, chunk.offsets))}"
            tensor = planner.resolve_data(item)
            assert isinstance(tensor, Tensor), item.index.fqn
            local = tensor.detach().cpu().contiguous()
            place = local.untyped_storage().data_ptr()
            tensors[key] = local.clone() if place in memory else local  # safetensors takes no shared memory
            memory.add(place)
            pieces.append(Piece(name, key, tuple(chunk.offsets), tuple(chunk.sizes)))
        save_file(tensors, self.folder / name)
        file = sum_of(self.folder / name)
        sizes = [tensors[piece.key].nbytes for piece in pieces]
        return [
            Written(item.index, size, None, piece, file)
            for item, size, piece in zip(items, sizes, pieces, strict=True)
        ]

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Hand over what was really written, under the shapes that were planned."""
        written = [one for rank in results for one in rank]
        pieces: dict[str, list[Piece]] = {}
        files: dict[str, FileSum] = {}
        for one in written:
            assert isinstance(one, Written), one
            pieces.setdefault(one.index.fqn, []).append(one.piece)
            files[one.piece.file] = one.file
        tensors = {}
        for name, planned in metadata.state_dict_metadata.items():
            assert isinstance(planned, TensorStorageMetadata), name
            dtype = str(planned.properties.dtype).removeprefix("torch.")
            tensors[name] = SavedTensor(dtype, tuple(planned.size), tuple(pieces.get(name, ())))
        self.done(tensors, files)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike) -> bool:
        """Any path."""
        return True


class FolderReader(StorageReader):
    """Reads what any number of ranks wrote into the pieces that a rank has now."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest

    def reset(self, checkpoint_id: str | os.PathLike | None = None) -> None:
        """Nothing: a reader reads one checkpoint."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The manifest as torch has it."""
        tensors = {
            name: TensorStorageMetadata(
                TensorProperties(dtype_of(saved)),
                torch.Size(saved.shape),
                [ChunkStorageMetadata(torch.Size(p.offsets), torch.Size(p.sizes)) for p in saved.pieces],
            )
            for name, saved in self.manifest.tensors.items()
        }
        pieces = {
            MetadataIndex(name, piece.offsets): piece
            for name, saved in self.manifest.tensors.items()
            for piece in saved.pieces
        }
        return Metadata(dict(tensors), storage_data=pieces)

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Keep where the pieces are."""
        self.pieces: Mapping[MetadataIndex, Piece] = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """As they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Copy the boxes that are asked for."""
        requests: dict[str, list[Any]] = {}
        for item in plan.items:
            requests.setdefault(self.pieces[item.storage_index].file, []).append(item)
        for name, items in requests.items():
            with safe_open(self.folder / name, framework="pt") as file:
                for item in items:
                    box = tuple(
                        slice(offset, offset + length)
                        for offset, length in zip(item.storage_offsets, item.lengths, strict=True)
                    )
                    key = self.pieces[item.storage_index].key
                    got = file.get_slice(key)[box] if box else file.get_tensor(key)
                    target = planner.resolve_tensor(item).detach()
                    target.copy_(got)
                    planner.commit_tensor(item, target)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike) -> bool:
        """Any path."""
        return True


def dtype_of(saved: SavedTensor) -> torch.dtype:
    """The dtype of a tensor of a manifest."""
    dtype = getattr(torch, saved.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"a tensor of the manifest has dtype {saved.dtype!r}, which torch doesn't have")
    return dtype
