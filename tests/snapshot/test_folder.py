"""A checkpoint is there as a whole or not at all, and damage is found, named, and got round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.snapshot.accounts import shortfall
from omni.snapshot.folder import aside, clean, examine_all, find_last, newest_whole, published, remove
from omni.snapshot.manifest import DamagedError, Piece, SavedTensor, missing_rows, read_manifest
from omni.snapshot.read import read_whole
from tests.snapshot.made import FILES, TENSORS, flip, save

WEIGHTS = "weights-00000.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "step-3.ckpt")


def test_what_is_saved_is_read_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*FILES, WEIGHTS, "optimizer-00000.safetensors", "manifest.json"}
    assert (manifest.run, manifest.step, manifest.world) == ("run", 3, 1)
    read = read_whole(folder, manifest, manifest.tensors)
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], tensor + 3) for name, tensor in TENSORS.items())
    assert (folder.parent / "last.ckpt").readlink() == Path(folder.name)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["last.ckpt", "step-3.ckpt"]


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("flip") / "step-3.ckpt")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_found(flipped: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(path for path in flipped.rglob("*") if path.is_file())))
    place = data.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, place)
    found = examine_all(flipped)[1]
    flip(path, place)
    assert len(found) == 1 and str(path) in found[0]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), rf"{WEIGHTS}: \d+ bytes, \d+ were written"),
        (lambda path: path.unlink(), rf"{WEIGHTS}: No such file"),
        (lambda path: flip(path, -1), rf"{WEIGHTS}: checksum differs from what was written"),
        (lambda path: (path.parent / "manifest.json").unlink(), r"manifest\.json: No such file"),
        (lambda path: (path.parent / "manifest.json").write_text("{}"), r"manifest\.json: no manifest"),
        (lambda path: flip(path.parent / "manifest.json", -20), r"manifest\.json: (its own|not JSON)"),
    ],
    ids=["truncated", "missing", "flipped", "no manifest", "other manifest", "flipped manifest"],
)
def test_a_damaged_last_one_is_replaced_by_the_newest_whole_one(
    tmp_path: Path, harm: object, said: str
) -> None:
    for step in (1, 2, 3):
        save(tmp_path / f"step-{step}.ckpt", step)
    other = save(tmp_path / "other-9.ckpt", 9, run="another run")
    last = find_last(tmp_path)
    assert last is not None and last.resolve() == other
    last.unlink()
    last.symlink_to("step-3.ckpt")
    harm(tmp_path / "step-3.ckpt" / WEIGHTS)  # type: ignore[operator]
    flip(tmp_path / "step-2.ckpt" / WEIGHTS, 9)
    told: list[str] = []
    found, manifest = newest_whole(last, examine_all, told.append)
    unknown = "manifest" in said
    assert (found.name, manifest.step) == (("other-9.ckpt", 9) if unknown else ("step-1.ckpt", 1))
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(told[0])
    with pytest.raises(DamagedError, match=rf"{said}.*The newest whole checkpoint beside it is .*\.ckpt"):
        newest_whole(tmp_path / "step-3.ckpt", examine_all, told.append)


def test_no_whole_one_is_an_error_that_lists_all_damage(tmp_path: Path) -> None:
    for step in (1, 2):
        flip(save(tmp_path / f"step-{step}.ckpt", step) / WEIGHTS, 9)
    with pytest.raises(DamagedError, match=r"step-2.*; .*step-1.*\. There is no other whole checkpoint"):
        newest_whole(tmp_path / "last.ckpt", examine_all, print)


def test_a_run_keeps_its_newest(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", 9, run="another run")
    for step in range(1, 6):
        save(tmp_path / f"step-{step}.ckpt", step, keep=2)
    assert [path.name for path, _ in published(tmp_path)] == ["step-5.ckpt", "step-4.ckpt", "a.ckpt"]


def test_the_same_name_is_replaced(folder: Path) -> None:
    save(folder, step=4)
    assert read_manifest(folder).step == 4 and examine_all(folder)[1] == []
    assert sorted(path.name for path in folder.parent.iterdir()) == ["last.ckpt", "step-3.ckpt"]


def test_what_a_killed_run_leaves_is_put_right(folder: Path) -> None:
    parent = folder.parent
    aside(parent / "step-4.ckpt").mkdir()
    folder.rename(parent / ".step-3.ckpt.replaced")  # between the two renames of a replacement
    save(parent / "step-2.ckpt", 2).rename(parent / ".step-2.ckpt.removed")
    clean(parent)
    assert sorted(path.name for path in parent.iterdir()) == ["last.ckpt", "step-3.ckpt"]
    assert find_last(parent) == parent / "last.ckpt"
    assert (parent / "last.ckpt").resolve() == folder


def test_last_is_found_where_its_link_is_lost(folder: Path) -> None:
    last = folder.parent / "last.ckpt"
    last.unlink()
    assert find_last(folder.parent) == last and last.resolve() == folder
    remove(folder)
    assert find_last(folder.parent) is None
    assert find_last(folder.parent / "nowhere") is None


# ------------------------------------------------------------------ accounts


def test_rows_that_no_piece_covers_are_found() -> None:
    quarters = [((row, column), (1, 4)) for row in (0, 1, 3) for column in (0, 4)]
    assert missing_rows((4, 8), quarters) == [2]
    assert missing_rows((4, 8), quarters[:-1]) == [2, 3]
    assert missing_rows((), []) == [0] and missing_rows((), [((), ())]) == []
    assert missing_rows((0, 3), []) == []


def test_lost_experts_are_named() -> None:
    name, shape = "weights/model.blocks.0.moe.experts.w2", (8, 3, 5)
    share = SavedTensor("float32", (2, 3, 5), (Piece("f", name, (0, 0, 0), (2, 3, 5)),))
    assert shortfall({name: share}, {name: shape}) == [
        f"{name}: [2, 3, 5] for [8, 3, 5]: experts 2, 3, 4, 5, 6, 7 are not there (a rank's share must be a "
        f"DTensor that knows the whole)"
    ]
    half = SavedTensor("float32", shape, (Piece("f", name, (0, 0, 0), (4, 3, 5)),))
    assert shortfall({name: half}, {name: shape}) == [f"{name}: experts 4, 5, 6, 7 of 8 are not there"]
    assert shortfall({}, {name: shape}) == [f"missing: {name}"]
