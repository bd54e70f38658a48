"""The folder of a run's checkpoints: each is there as a whole or not at all, and ``last.ckpt`` names the newest.

.step-000300.ckpt.writing/    being written; never read, and removed by the next run
step-000300.ckpt/             published: manifest and files are whole and on the disk
last.ckpt -> step-000300.ckpt
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from omni.snapshot.accounts import shortfall
from omni.snapshot.manifest import DamagedError, Manifest, damage, read_manifest

ENDING = ".ckpt"
LAST = "last.ckpt"
WRITING, REPLACED, REMOVED = ".writing", ".replaced", ".removed"


def aside(folder: Path) -> Path:
    """Where a checkpoint is written before it is published."""
    return folder.with_name(f".{folder.name}{WRITING}")


def clean(parent: Path) -> None:
    """Undo what a killed run left half done in a folder of checkpoints."""
    for path in list(parent.glob(f".*{REPLACED}")):
        whole = path.with_name(path.name[1:].removesuffix(REPLACED))
        if whole.exists():
            shutil.rmtree(path)
        else:
            path.rename(whole)
    for ending in (WRITING, REMOVED):
        for path in list(parent.glob(f".*{ENDING}{ending}")):
            shutil.rmtree(path)
    for link in list(parent.glob(f".{LAST}.new-*")):
        link.unlink()


def publish(folder: Path) -> None:
    """Give what was written aside its name, in place of what has the name now, and let ``last.ckpt`` name it."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}{REPLACED}")
        folder.rename(old)
        aside(folder).rename(folder)
        remove(old)
    else:
        aside(folder).rename(folder)
    flush(folder.parent)


def link_last(folder: Path) -> None:
    """Let ``last.ckpt`` beside the checkpoint name it, in one go."""
    last = folder.with_name(LAST)
    new = last.with_name(f".{LAST}.new-{uuid4().hex}")  # ranks may do so at once
    new.symlink_to(folder.name)
    if last.is_dir() and not last.is_symlink():  # a copy of a checkpoint, put there by hand
        remove(last)
    new.replace(last)
    flush(folder.parent)


def flush(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a checkpoint; killed meanwhile, no half of one is left under its name."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        name = path.name if path.name.startswith(".") else f".{path.name}"
        going = path.with_name(f"{name}{REMOVED}")
        if going.exists():
            shutil.rmtree(going)
        path.rename(going)
        shutil.rmtree(going)


def published(parent: Path) -> list[tuple[Path, Manifest]]:
    """Checkpoints of a folder whose manifests can be read, newest first."""
    found = []
    for path in parent.glob(f"*{ENDING}"):
        if path.is_dir() and not path.is_symlink():
            try:
                found.append((path, read_manifest(path)))
            except DamagedError:
                continue
    return sorted(found, key=lambda one: (one[1].written, one[1].step), reverse=True)


def prune(newest: Path, run: str, keep: int, spared: Path | None = None) -> None:
    """Remove all but the ``keep`` newest checkpoints of a run; 0 keeps all, and ``spared`` stays."""
    of_run = [path for path, manifest in published(newest.parent) if manifest.run == run and path != newest]
    for path in of_run[keep - 1 :] if keep else ():
        if spared is None or path.resolve() != spared.resolve():
            remove(path)


def find_last(parent: Path) -> Path | None:
    """``last.ckpt`` of a folder, put right where it is lost or names nothing; ``None`` without checkpoints."""
    last = parent / LAST
    if not parent.is_dir():
        return None
    if not last.exists():
        newest = next((path for path, _ in published(parent)), None)
        if newest is None:
            return None
        link_last(newest)
    return last


Examined = tuple[Manifest | None, list[str]]
"""The manifest, if it can be read, and what is wrong with a checkpoint."""


def newest_whole(
    path: Path, examine: Callable[[Path], Examined], say: Callable[[str], None]
) -> tuple[Path, Manifest]:
    """The checkpoint at ``path``; where that is ``last.ckpt`` and damaged, the newest one of its run that is whole.

    Args:
        path: a checkpoint, or a link to one.
        examine: finds what is wrong with one.
        say: is told of the damage where another checkpoint is taken.

    Raises:
        DamagedError: it is damaged, and it was asked for by name or there is no whole one; lists the damage.
    """
    folder = path.resolve()
    manifest, found = examine(folder)
    if manifest is not None and not found:
        return folder, manifest
    others = [other for other in published(folder.parent) if other[0] != folder]
    for other, theirs in others:
        if manifest is not None and manifest.run != theirs.run:
            continue
        if wrong := examine(other)[1]:
            found += wrong
        elif path.name == LAST:
            say(f"{path}: damaged ({'; '.join(found)}). Going on from {other}, of step {theirs.step}")
            return other, theirs
        else:
            raise DamagedError(f"{'; '.join(found)}. The newest whole checkpoint beside it is {other}")
    raise DamagedError(
        f"{'; '.join(found)}. There is no other whole checkpoint of this run in {folder.parent}"
    )


def examine_all(
    folder: Path,
    needed: Callable[[str], bool] = lambda name: True,
    read: Callable[[str], bool] = lambda name: True,
) -> Examined:
    """Read a checkpoint's manifest, and compare the ``needed`` files with it, by content those to ``read``."""
    try:
        manifest = read_manifest(folder)
    except DamagedError as error:
        return None, [str(error)]
    return manifest, damage(folder, manifest, needed, read) + shortfall(manifest.tensors, {})
