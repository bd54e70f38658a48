"""Finds keys that come twice in a folder of shards, with 8 bytes of memory a document."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence as Seq
from itertools import pairwise

import numpy as np
from jaxtyping import UInt64

from omni.datamodules.shards.damage import Damage
from omni.datamodules.shards.shard_index import ShardIndex


def key_hashes(index: ShardIndex) -> UInt64[np.ndarray, " documents"]:
    """A hash of each key of a shard."""
    arrays = index.arrays
    bounds, keys = arrays.documents["key"].tolist(), arrays.keys.tobytes()
    digests = [hashlib.blake2b(keys[start:end], digest_size=8).digest() for start, end in pairwise(bounds)]
    return np.frombuffer(b"".join(digests), np.uint64)


def keys_in_two_shards(indexes: Seq[ShardIndex], hashes: Seq[UInt64[np.ndarray, " _"]]) -> list[Damage]:
    """Documents whose key an earlier shard has, too. ``hashes`` are those of each shard's keys."""
    found: list[Damage] = []
    starts = np.cumsum([0, *map(len, hashes)])
    everything = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    order = np.argsort(everything, kind="stable")
    same = np.flatnonzero(everything[order][1:] == everything[order][:-1]) + 1
    for place in same.tolist():
        (first, one), (second, other) = (
            (int(at), int(number - starts[at]))
            for number in order[[place - 1, place]].tolist()
            for at in [np.searchsorted(starts, number, side="right") - 1]
        )
        key, shard = indexes[second].key(other), indexes[second].shard
        if indexes[first].key(one) == key:  # and not only its hash
            message = f"{shard}[{key}]: duplicate key, {indexes[first].shard} has it, too"
            found.append(Damage(str(shard), key, None, "key", message))
    return sorted(found, key=lambda damage: (damage.shard, damage.key or ""))
