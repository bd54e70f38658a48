"""A folder of shards, wherever it is: on a local disk, or at a URL with a cache on a local disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from omni.datamodules.remote.cache import ShardCache
from omni.datamodules.remote.errors import without_secrets
from omni.datamodules.remote.folder import RemoteFile
from omni.datamodules.remote.lease import Lease
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.scan import shards_in
from omni.datamodules.shards.shard_index import ShardIndex, index_path, open_index, read_index


@dataclass(frozen=True)
class ShardAt:
    """A shard by its place: small enough to go to another process with every task, which opens it there."""

    path: Path
    """On the local disk, where it is or comes to lie."""
    url: str | None = None
    """Of its folder; ``None`` for a local one."""
    as_stored: bool = False
    """Take it as its store has it, even where it is not what ``dataset.json`` says: a check says what is wrong."""

    def __str__(self) -> str:
        """Path or URL, for messages."""
        return str(self.path) if self.url is None else f"{_said(self.url)}/{self.path.name}"

    @contextmanager
    def here(self) -> Iterator[Path]:
        """The shard on the local disk with its index beside it, until the context ends.

        Raises:
            RemoteError: one of them can't be had.
        """
        if self.url is None:
            yield self.path
            return
        cache = _cache(self.url, self.as_stored)
        with cache.lease(index_path(self.path).name), cache.lease(self.path.name) as path:
            yield path

    def named(self, damage: Damage) -> Damage:
        """The damage of a shard that is ``here``, told by the place that the user knows."""
        if self.url is None:
            return damage
        folder = str(Path(damage.shard).parent)
        return replace(damage, shard=str(self), error=damage.error.replace(folder, _said(self.url)))


@dataclass(frozen=True)
class ShardFolder:
    """The shards of a folder, and their indexes, which are always on the local disk. It can be sent to processes."""

    where: str
    """The folder as the user knows it: its path, or its URL without passwords."""
    path: Path
    """Folder on the local disk where the indexes are, and the shards are or come to lie."""
    shards: list[Path]
    """In order."""
    cache: ShardCache | None = None
    """``None`` for a local folder."""

    def places(self, as_stored: bool = False) -> list[ShardAt]:
        """The shards, for other processes; see ``ShardAt`` for ``as_stored``."""
        url = None if self.cache is None else self.cache.remote.url
        return [ShardAt(shard, url, as_stored) for shard in self.shards]

    def sizes(self) -> list[int]:
        """Bytes of each shard; 0 where a store doesn't say."""
        if self.cache is None:
            return [shard.stat().st_size for shard in self.shards]
        return [self.cache.files[shard.name].size or 0 for shard in self.shards]

    def name_of(self, shard: Path) -> str:
        """Path or URL of a shard, for messages."""
        return str(shard) if self.cache is None else f"{self.where}/{shard.name}"

    def lease(self, shard: Path) -> Lease:
        """The shard on the local disk, until the lease is released.

        Raises:
            RemoteError: it can't be had.
        """
        return Lease(shard) if self.cache is None else self.cache.lease(shard.name)

    def indexes(self) -> list[ShardIndex]:
        """Indexes of all shards, in order; from here on the cache knows what the shards must be.

        Raises:
            DocumentError: an index is missing, damaged or stale, or a shard is larger than the cache's budget.
        """
        if self.cache is None:
            return [read_index(shard) for shard in self.shards]
        return [self._remote_index(self.cache, shard) for shard in self.shards]

    def _remote_index(self, cache: ShardCache, shard: Path) -> ShardIndex:
        url = self.name_of(index_path(shard))
        fix = "run `omni shards index` where the shards were made, and upload the folder again"
        try:
            index = open_index(shard)
        except DocumentError as error:
            raise DocumentError(
                f"{url}: damaged, or of another version ({error}); {fix}", kind="index"
            ) from error
        file, indexed = cache.files[shard.name], RemoteFile(index.size, index.head.digest)
        if file.size not in (None, indexed.size) or file.digest not in (None, indexed.digest):
            raise DocumentError(
                f"{url}: stale index, {shard.name} had {indexed.size} bytes and {indexed.digest} when it was "
                f"indexed, now {file.size} bytes and {file.digest or 'an unknown digest'}; {fix}",
                kind="index",
            )
        if index.size > cache.budget_bytes:
            raise DocumentError(
                f"{self.name_of(shard)}: {index.size} bytes, more than the cache's budget of {cache.budget_bytes}; "
                f"raise budget_bytes, or write smaller shards",
                kind="tar",
            )
        cache.expect({shard.name: indexed})
        return index


def open_folder(folder: Path | str, remote: RemoteConfig | None = None) -> ShardFolder:
    """Open a folder of shards; of one at a URL the indexes are fetched, and no shard.

    Args:
        folder: a path, or any URL of fsspec such as ``s3://bucket/folder``.
        remote: settings of the cache for a URL.

    Raises:
        DocumentError: no shards there.
        RemoteError: the URL can't be listed, or an index can't be had.
    """
    if not is_url(folder):
        path = Path(folder)
        return ShardFolder(str(path), path, shards_in(path))
    cache = (remote or RemoteConfig()).open(str(folder))
    if cache.in_place:
        return ShardFolder(str(cache.folder), cache.folder, shards_in(cache.folder))
    path = cache.fetch_indexes()
    return ShardFolder(_said(str(folder)), path, [path / name for name in cache.shards], cache)


@lru_cache(maxsize=2)
def _cache(url: str, as_stored: bool) -> ShardCache:
    """Opened once in each process."""
    cache = RemoteConfig().open(url)
    if as_stored:
        cache.expect_nothing()
    return cache


def _said(url: str) -> str:
    return without_secrets(url.rstrip("/"))


def is_url(folder: Path | str) -> bool:
    """Whether a folder is named by a URL, not by a path."""
    return isinstance(folder, str) and ("://" in folder or "::" in folder)
