"""States of the global random generators of all ranks.

Training draws nothing from them (all of its noise is a function of seed and row), but callbacks and libraries may.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence as Seq
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

State = dict[str, Any]


def state_of_rank() -> State:
    """Python's, numpy's and torch's generators of this process, as numbers, bytes and tensors."""
    version, inner, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: State = {
        "python": [version, list(inner), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def states_of_all() -> list[State]:
    """The same of each rank; all ranks must call it."""
    own = state_of_rank()
    if not (dist.is_available() and dist.is_initialized()):
        return [own]
    states: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(states, own)
    return states


def restore(states: Seq[State], rank: int) -> None:
    """Go on as rank ``rank`` did. A rank that was not there is seeded from the first one's state and its number."""
    if rank >= len(states):
        digest = hashlib.sha256(states[0]["torch"].numpy().tobytes() + rank.to_bytes(4)).digest()
        seed = int.from_bytes(digest[:4])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        return
    state = states[rank]
    version, inner, gauss = state["python"]
    random.setstate((version, tuple(inner), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
