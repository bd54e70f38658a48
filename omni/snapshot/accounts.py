"""Whether all of a model is there: every tensor, every expert of it.

Sharded training has lost experts without a word where each rank's share had the name of the whole, and one of the
shares was kept. So what is saved, and what is loaded, is held against the shapes that the config gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq

from omni.snapshot.manifest import SavedTensor, missing_rows

EXPERTS = ".experts."
"""In the names of parameters whose first dimension counts experts."""
SHOWN = 12


def shortfall(saved: Mapping[str, SavedTensor], expected: Mapping[str, Seq[int]]) -> list[str]:
    """What ``saved`` lacks of tensors of the shapes ``expected``, one sentence each."""
    lost = [name for name in expected if name not in saved]
    found = [f"missing: {listed(lost)}"] if lost else []
    for name, shape in expected.items():
        if name in saved and tuple(shape) != saved[name].shape:
            found.append(_of_another_shape(name, saved[name].shape, shape))
    for name, one in saved.items():
        if rows := missing_rows(one.shape, [(piece.offsets, piece.sizes) for piece in one.pieces]):
            what = "experts" if EXPERTS in name else "rows"
            found.append(f"{name}: {what} {listed(rows)} of {one.shape[0] if one.shape else 1} are not there")
    return found


def listed(names: Seq[object], most: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown}, and {len(names) - most} more"


def _of_another_shape(name: str, got: Seq[int], expected: Seq[int]) -> str:
    said = f"{name}: {list(got)} for {list(expected)}"
    if EXPERTS in name and list(got[1:]) == list(expected[1:]) and got[0] < expected[0]:
        missing = listed(range(got[0], expected[0]))
        said += f": experts {missing} are not there (a rank's share must be a DTensor that knows the whole)"
    return said
