"""Downloaded pictures: found by their file's name, or by the address that they came from.

Data sets of web pages name their pictures by address. ``img2dataset`` downloads them and writes beside each
``KEY.jpg`` a ``KEY.json`` with its ``url``, in folders or in tars (https://github.com/rom1504/img2dataset).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from omni.datamodules.media_files import MediaFile
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.scan import group_members, read_members
from omni.media import MediaError

PICTURE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "jp2")
Members = dict[str, MediaFile]
"""The files of one key, by what follows the first dot of their names."""


def is_picture(path: Path) -> bool:
    """Whether the file's name is that of a picture."""
    return path.suffix[1:].lower() in PICTURE_SUFFIXES


def picture_in(members: Members) -> MediaFile:
    """The picture among the files of a key.

    Raises:
        DocumentError: there is none.
    """
    for suffix, file in members.items():
        if suffix.lower() in PICTURE_SUFFIXES:
            return file
    raise DocumentError(f"no picture among its files {sorted(members)}")


def tar_members(tar: Path) -> Iterator[tuple[str, Members]]:
    """The keys of a WebDataset tar with their files, in order, whole ones before any damage.

    Raises:
        DocumentError: the tar is damaged or cut off, or a key comes twice; comes after what could be read.
    """
    found, broken = read_members(tar)
    entries, doubled = group_members(tar, found)
    for entry in entries:
        files = entry.members.items()
        yield (
            entry.key,
            {suffix: MediaFile(tar, f"{entry.key}.{suffix}", place) for suffix, place in files},
        )
    if doubled:
        raise DocumentError(doubled[0].error)
    if broken is not None:
        raise broken


class Pictures:
    """The pictures of a folder."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            ValueError: no such folder.
        """
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; expected the one with the downloaded pictures")
        self.folder = folder
        self._by_address: dict[str, MediaFile] | None = None
        self._by_stem: dict[str, MediaFile] = {}

    def find(self, name: str) -> bytes:
        """The picture file of this name or address (by img2dataset's JSON, or a file named by its SHA-256).

        Raises:
            MediaError: there is none; of an address, says how it is fetched.
        """
        if "://" not in name:
            path = self.folder / name
            if not path.is_file():
                raise MediaError(f"picture {name!r}: no such file in {self.folder}")
            return path.read_bytes()
        if self._by_address is None:
            self._by_address = dict(self._scan())
        hashed = hashlib.sha256(name.encode()).hexdigest()
        file = self._by_address.get(name) or self._by_stem.get(hashed)
        if file is None:
            raise not_downloaded(name, f"is not among the pictures of {self.folder}")
        return file.read()

    def _scan(self) -> Iterator[tuple[str, MediaFile]]:
        for path in sorted(self.folder.rglob("*")):
            if path.suffix == ".tar":
                yield from self._scan_tar(path)
            elif is_picture(path):
                file = MediaFile(path)
                self._by_stem[path.stem] = file
                sidecar = path.with_suffix(".json")
                if sidecar.is_file() and (url := _url(sidecar.read_bytes())):
                    yield url, file

    def _scan_tar(self, tar: Path) -> Iterator[tuple[str, MediaFile]]:
        try:
            for _, members in tar_members(tar):
                if "json" in members and (url := _url(members["json"].read())):
                    yield url, picture_in(members)
        except DocumentError:
            return  # its pictures are then missing, and each page that needs one is set aside by name


def not_downloaded(address: str, why: str = "is only an address") -> MediaError:
    """What is said of a picture that isn't there."""
    return MediaError(
        f"picture {address!r} {why}; fetch the pictures with img2dataset and name their folder by --images"
    )


def _url(content: bytes) -> str | None:
    try:
        url = json.loads(content).get("url")
    except (ValueError, AttributeError):
        return None
    return url if isinstance(url, str) else None
