"""Saves in the background: a copy of the moment, errors that are told, and what was there stays."""

from __future__ import annotations

import errno
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.parallel.checkpoint.saver import SaveError, Saver, Target
from omni.snapshot.folder import examine_all
from omni.snapshot.manifest import read_manifest
from omni.snapshot.read import read_whole
from tests.snapshot.made import FILES, TENSORS, save

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def target(folder: Path, **settings: Any) -> Target:
    return Target(**{"folder": folder, "run": "run", "step": 3, "files": FILES, "expected": {}, **settings})


def test_what_is_saved_is_of_the_moment(tmp_path: Path) -> None:
    """Weights go on to change while they are written; copies are used again for the next save."""
    saver, tensor = Saver(), torch.zeros(200_000)
    for step in (1, 2):
        tensor.fill_(step)
        saver.save({"weights/x": tensor, "weights/y": tensor[:5]}, target(tmp_path / f"{step}.ckpt"))
        tensor.fill_(99)
        with pytest.raises(RuntimeError, match="still being saved"):
            saver.save({}, target(tmp_path / "other.ckpt"))
        assert saver.wait()
    for step in (1, 2):
        folder = tmp_path / f"{step}.ckpt"
        read = read_whole(folder, read_manifest(folder), ["weights/x", "weights/y"])
        assert (read["weights/x"] == step).all() and (read["weights/y"] == step).all()
    saver.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to write more into a file, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    before = save(tmp_path / "step-1.ckpt", 1)
    saver = Saver()
    with largest_file(50_000):
        saver.save({"weights/x": torch.zeros(100_000)}, target(tmp_path / "step-3.ckpt"))
        with pytest.raises(SaveError, match=r"step-3\.ckpt: not saved; rank 0: .*(os error|Errno) 27"):
            saver.wait()
    assert not saver.wait(), "an error is told once"
    assert examine_all(before)[1] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "step-1.ckpt"]
    saver.save(TENSORS, target(tmp_path / "step-3.ckpt"))
    assert saver.wait() and (tmp_path / "last.ckpt").resolve().name == "step-3.ckpt"


def test_a_folder_that_vanished_is_made_again(tmp_path: Path) -> None:
    save(tmp_path / "run" / "step-1.ckpt", 1)
    shutil.rmtree(tmp_path / "run")
    assert examine_all(save(tmp_path / "run" / "step-2.ckpt", 2))[1] == []


def test_a_folder_that_vanishes_meanwhile_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(writer: Any, plan: Any) -> Any:
        shutil.rmtree(tmp_path / "run")
        return plan

    monkeypatch.setattr("omni.snapshot.storage.FolderWriter.prepare_local_plan", vanish)
    saver = Saver()
    saver.save(TENSORS, target(tmp_path / "run" / "step-3.ckpt"))
    with pytest.raises(SaveError, match=r"step-3\.ckpt: not saved; rank 0: .*No such file or directory"):
        saver.wait()


def test_a_target_that_can_t_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    saver = Saver()
    saver.save(TENSORS, target(tmp_path / "file" / "step-3.ckpt"))
    with pytest.raises(SaveError, match=r"step-3\.ckpt: not saved; rank 0: NotADirectoryError"):
        saver.wait()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    saver.save(TENSORS, target(tmp_path / "step-3.ckpt"))
    with pytest.raises(SaveError, match="Read-only file system"):
        saver.wait()


def test_a_model_without_all_of_its_experts_is_not_published(tmp_path: Path) -> None:
    name = "weights/model.blocks.0.moe.experts.w13"
    saver = Saver()
    saver.save(TENSORS, target(tmp_path / "step-3.ckpt", expected={name: (8, 2, 3)}))
    with pytest.raises(SaveError, match=rf"{name}: \[4, 2, 3\] for \[8, 2, 3\]: experts 4, 5, 6, 7 are not"):
        saver.wait()
    assert not (tmp_path / "step-3.ckpt").exists()
