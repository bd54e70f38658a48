"""Text in the making: whole characters only, up to a stop string, of which nothing is said too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.inference.text_run import TextRun
from tests.tiny import tiny_tokenizers


def said(text: str, *stops: str) -> tuple[list[str], bool]:
    """What comes out token by token, and whether it stopped."""
    tokenizer = tiny_tokenizers().text
    run, pieces = TextRun(tokenizer, stops), []
    for token in tokenizer.encode(text):
        run.push(token)
        pieces.append(run.news(ended=False))
        if run.stopped:
            break
    return [*pieces, run.news(ended=True)], run.stopped


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581\ufffd"), max_size=30))
def test_pieces_make_up_the_text(text: str) -> None:
    pieces, stopped = said(text)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert not stopped


def test_a_character_of_several_tokens_comes_whole() -> None:
    pieces, _ = said("é€😀")  # 2, 3 and 4 bytes, each a token
    assert pieces == ["", "é", "", "", "€", "", "", "", "😀", ""]


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one\ntwo\nthree", ("\n",), "one"),
        ("a##b###c", ("###",), "a##b"),
        ("zero one two", ("two", "one"), "zero "),
        ("abcabd", ("abd",), "abc"),
        ("nothing here", ("###",), "nothing here"),
        ("ends with a beginning ##", ("###",), "ends with a beginning ##"),
        ("###", ("###",), ""),
    ],
)
def test_text_ends_before_the_first_stop_string(text: str, stops: tuple[str, ...], expected: str) -> None:
    pieces, stopped = said(text, *stops)
    assert "".join(pieces) == expected
    assert stopped == (len(expected) < len(text))


def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    pieces, _ = said("a@@b", "@@@")
    assert pieces == ["a", "", "", "@@b", ""]


def test_bytes_that_are_no_text_come_out_as_replacement_characters() -> None:
    tokenizer = tiny_tokenizers().text
    run = TextRun(tokenizer, ())
    for _ in range(5):
        run.push(tokenizer.pieces.piece_to_id("<0xFF>"))
    assert run.news(ended=True) == "\ufffd" * 5
