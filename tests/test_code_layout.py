"""Audio layouts, shown whole, and that what is laid down can be read again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.code_layout import NAMES, NOTHING, CodeLayout, code_layout

END = 10
LETTERS = {NOTHING: ".", END: "E"}


def shown(rows_RK: np.ndarray) -> list[str]:
    """One line for each codebook, one letter for each position."""
    return ["".join(LETTERS.get(code, str(code)) for code in column) for column in rows_RK.T.tolist()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frame", ["123", "456", "789"]),
        ("delay", ["123E.", ".456.", "..789"]),
        ("flat", ["1..2..3..", ".4..5..6.", "..7..8..9"]),
    ],
)
def test_worked_clip(name: str, expected: list[str]) -> None:
    """Three frames of three codes: 1 4 7, 2 5 8, 3 6 9."""
    layout = code_layout(name, 3)  # type: ignore[arg-type]
    codes = np.array([[1, 4, 7], [2, 5, 8], [3, 6, 9]])
    assert shown(layout.lay(codes, END)) == expected


LAYOUTS = st.builds(code_layout, st.sampled_from(NAMES), st.integers(1, 5))


@settings(max_examples=60)
@given(LAYOUTS, st.integers(1, 6), st.integers(0, 99))
def test_reading_is_the_inverse_of_laying(layout: CodeLayout, frames: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, END, (frames, layout.codebooks))
    rows = layout.lay(codes, END)
    assert len(rows) == layout.rows(frames)
    np.testing.assert_array_equal(layout.read(rows, END), codes)
    assert ((rows >= 0) & (rows < END)).sum() == codes.size, "each code once"


@settings(max_examples=60)
@given(LAYOUTS, st.integers(1, 6), st.integers(0, 40))
def test_the_beginning_of_a_clip_has_its_whole_frames(layout: CodeLayout, frames: int, cut: int) -> None:
    codes = np.arange(frames * layout.codebooks).reshape(frames, -1) % END
    rows = layout.lay(codes, END)[:cut]
    read = layout.read(rows, END)
    np.testing.assert_array_equal(read, codes[: len(read)])
    complete = [f for f in range(frames) if layout.rows(f + 1) <= cut]
    assert len(read) == len(complete) == min(frames, layout.whole(cut))


@settings(max_examples=40)
@given(LAYOUTS, st.integers(0, 12))
def test_frames_begin_where_their_first_code_stands(layout: CodeLayout, rows: int) -> None:
    first_R = layout.frames_at(0, rows + 1)[:, 0] >= 0
    assert layout.begins(rows) == first_R[rows]
    assert layout.begun(rows) == first_R[:rows].sum()
