"""Runs that saw other documents, or in another order, are found."""

from __future__ import annotations

from pathlib import Path

from omni.ablation.order import WindowHash, check_order, read_order

HEAD = "window,count,documents,rows\n"


def order(*documents: str, rows: str = "r") -> dict[int, WindowHash]:
    return {number: WindowHash(10, one, rows) for number, one in enumerate(documents)}


def test_runs_are_compared_on_the_windows_that_all_have() -> None:
    check = check_order({"a": order("x", "y", "z"), "b": order("x", "y")})
    assert (check.same, check.same_rows, check.windows, check.documents) == (True, True, 2, 20)
    assert str(check) == "20 documents in 2 windows were the same in the same order, in the same rows."


def test_other_lengths_are_packed_into_other_rows() -> None:
    check = check_order({"a": order("x"), "b": order("x", rows="s")})
    assert (check.same, check.same_rows) == (True, False)
    assert "packed into other rows, since their lengths differ" in str(check)


def test_a_run_that_saw_others_is_named() -> None:
    check = check_order({"a": order("x", "y"), "b": order("x", "y"), "c": order("x", "q")})
    assert not check.same
    assert str(check) == "c saw other documents, or in another order, than a."


def test_nothing_in_common_is_not_the_same() -> None:
    check = check_order({"a": order("x"), "b": {}})
    assert not check.same
    assert str(check) == "No order was logged that a, b have in common."


def test_a_resumed_run_logs_its_window_again(tmp_path: Path) -> None:
    path = tmp_path / "order.csv"
    path.write_text(HEAD + "0,10,x,r\n1,9,y,s\n1,9,y,s\n")
    assert read_order(path) == {0: WindowHash(10, "x", "r"), 1: WindowHash(9, "y", "s")}
    assert read_order(tmp_path / "none.csv") == {}
