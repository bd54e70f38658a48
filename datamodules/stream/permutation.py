"""Keyed shuffles that need no memory: any part of an epoch's order is computed when it is asked for.

``permuted`` is a Feistel network over the bits of the numbers, with cycle walking where their count is no power
of two (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains"; eight rounds, twice the four of Luby &
Rackoff 1988, since small domains mix less per round). Its round function is the 64-bit finaliser of SplitMix
(Steele, Lea & Flood 2014). Nothing here depends on the version of a library.

``shuffled_runs`` shuffles runs of neighbouring documents, and the documents inside each run, so that documents
that lie side by side on disk are asked for at about the same time.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int, Integer, UInt64

ROUNDS = 8
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def key_of(*parts: int | str) -> int:
    """A 64-bit key for the shuffle that ``parts`` name."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def hashed(values: UInt64[np.ndarray, "*any"], key: int) -> UInt64[np.ndarray, "*any"]:
    """64 pseudo-random bits for each value under ``key``."""
    bits = values + np.uint64((key + _GOLDEN) & _WORD)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def permuted(places: Integer[np.ndarray, " places"], n: int, key: int) -> Int[np.ndarray, " places"]:
    """Where the permutation of ``range(n)`` under ``key`` puts each of ``places``.

    Raises:
        ValueError: a place is outside of ``range(n)``.
    """
    if len(places) and not 0 <= places.min() <= places.max() < n:
        raise ValueError(f"places {places.min()} to {places.max()} are not all in range({n})")
    bits = max(2, (n - 1).bit_length())
    found = _feistel(places.astype(np.uint64), bits, key)
    while len(outside := np.flatnonzero(found >= n)):
        found[outside] = _feistel(found[outside], bits, key)
    return found.astype(np.int64)


def _feistel(values: UInt64[np.ndarray, " n"], bits: int, key: int) -> UInt64[np.ndarray, " n"]:
    """A permutation of all numbers of ``bits`` bits: each half is changed by a hash of the other, in turn."""
    low_bits = np.uint64(bits // 2)
    low_mask, high_mask = np.uint64((1 << bits // 2) - 1), np.uint64((1 << bits - bits // 2) - 1)
    high, low = values >> low_bits, values & low_mask
    for number in range(0, ROUNDS, 2):
        high = high ^ (hashed(low, key + number * _GOLDEN) & high_mask)
        low = low ^ (hashed(high, key + (number + 1) * _GOLDEN) & low_mask)
    return high << low_bits | low


def shuffled_runs(start: int, stop: int, documents: int, run: int, key: int) -> Int[np.ndarray, " found"]:
    """Documents of the runs that stand at places ``start`` to ``stop`` (exclusive) of the shuffled order.

    There are ``ceil(documents / run)`` runs of ``run`` neighbours (the last may be shorter). Asked for all
    places, it is a permutation of ``range(documents)``.
    """
    runs = permuted(np.arange(start, stop), -(-documents // run), key)
    members = (runs[:, None] * run + np.arange(run)).astype(np.uint64)
    inner = np.argsort(hashed(members, key ^ _GOLDEN), axis=1, kind="stable")
    found = np.take_along_axis(members, inner, axis=1).ravel().astype(np.int64)
    return found[found < documents]
