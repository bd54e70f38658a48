"""The settings for shards that lie at a URL."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.datamodules.remote.cache import ShardCache
from omni.datamodules.remote.errors import without_secrets
from omni.datamodules.remote.folder import RetryConfig


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """How shards at a URL are fetched, and where they are kept. Not used for folders on a local disk."""

    cache: str = "~/.cache/omni/shards"
    """Folder on a local disk; the shards of each URL lie in a folder of their own in it."""
    budget_bytes: int = 64 << 30
    """Bytes that the shards of each URL may take there; indexes come on top."""
    storage_options: dict[str, Any] = field(default_factory=dict)
    """For fsspec's file system, such as ``{"endpoint_url": ..., "profile": ...}`` of s3fs. They are saved with
    the run's config: better give passwords through the environment."""
    retry: RetryConfig = field(default_factory=RetryConfig)
    """How failed requests are made again."""
    ahead: int = 16
    """Steps of the plan whose shards are fetched before they are needed, within half the budget; 0 for none."""
    patience: float = 600.0
    """Seconds to wait for room while others' downloads take the whole budget."""

    def __post_init__(self) -> None:
        if self.budget_bytes < 1 or self.ahead < 0 or self.patience < 0:
            raise ValueError(
                f"expected a budget_bytes of at least 1, and ahead and patience from 0, got {self.budget_bytes}, "
                f"{self.ahead} and {self.patience:g}"
            )

    def folder_of(self, url: str) -> Path:
        """Where the shards of a URL are kept."""
        named = without_secrets(url.rstrip("/"))
        readable = re.sub(r"[^\w.-]+", "-", named)[-80:].strip("-")
        digest = hashlib.blake2b(named.encode(), digest_size=4).hexdigest()
        return Path(self.cache).expanduser() / f"{readable}-{digest}"

    def open(self, url: str) -> ShardCache:
        """The cache of a URL's shards.

        Raises:
            RemoteError: the folder at the URL can't be listed.
        """
        return ShardCache(
            url,
            self.folder_of(url),
            self.budget_bytes,
            self.storage_options,
            retry=self.retry,
            patience=self.patience,
        )
