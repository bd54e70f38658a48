"""The table in the documentation is the one that the configs give."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.planning.family import family_table, scaled


def test_the_documented_table_is_up_to_date() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    table = family_table()
    assert table in text, f"put this into docs/models.md:\n{table}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12.0, "12"), (1500.0, "1.5K"), (1.756e9, "1.76B"), (1.84e12, "1.84T"), (2.5e15, "2,500T")],
)
def test_numbers_are_shown_with_their_magnitude(value: float, shown: str) -> None:
    assert scaled(value) == shown
