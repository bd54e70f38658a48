"""Text to ids and back: whatever is written comes back, and nothing written becomes a control symbol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.tokenizers.text import TextTokenizer, control_symbols, size_symbol
from tests.tiny import SENTENCES, tiny_tokenizers

SYMBOLS = [
    *("<|begin|>", "<|end|>", "<|image|>", "<|/image|>", "<|audio|>", "<|/audio|>"),
    *("<|system|>", "<|user|>", "<|assistant|>"),
    *("<|size:1|>", "<|size:2|>", "<|size:3|>"),
]
UNICODE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"))


def text() -> TextTokenizer:
    return tiny_tokenizers().text


def test_control_symbols_in_the_order_of_their_ids() -> None:
    assert control_symbols(3) == SYMBOLS
    ids = [text().symbol(symbol) for symbol in control_symbols(8)]
    assert ids == list(range(1, 18))
    assert text().control_ids == frozenset(range(18)), "id 0 is the unknown piece"


def test_ids_of_roles_and_sizes() -> None:
    tokenizer = text()
    assert tokenizer.roles == {7: "system", 8: "user", 9: "assistant"}
    assert tokenizer.sizes == {9 + size: size for size in range(1, 9)}
    assert (tokenizer.begin, tokenizer.end, tokenizer.role("user"), tokenizer.size(8)) == (1, 2, 8, 17)
    assert (tokenizer.max_grid, tokenizer.vocab_size) == (8, 330)


@given(UNICODE)
def test_any_text_comes_back(written: str) -> None:
    ids = text().encode(written)
    assert text().decode(ids) == written
    assert not text().control_ids & set(ids)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "  two  spaces  ",
        "tab\tand\r\nnew line\n\n",
        "a\0b",
        "é \u0301 漢字 🎉 \u200d \ufeff",
        "<0x41>",
        "<unk> <s> </s>",
        "\u2585",
        *SYMBOLS,
        f"{''.join(SYMBOLS)} at once",
    ],
)
def test_odd_texts_come_back(written: str) -> None:
    ids = text().encode(written)
    assert text().decode(ids) == written
    assert not text().control_ids & set(ids)


def test_the_one_character_that_becomes_a_space() -> None:
    assert text().decode(text().encode("a\u2581b")) == "a b"


def test_pieces_that_are_cut_apart_join_again() -> None:
    written = "which digit? é漢"
    ids = text().encode(written)
    halves = [text().decode(ids[:3]), text().decode(ids[3:])]
    assert "".join(halves) == written


def test_control_symbols_are_left_out_of_decoded_text() -> None:
    tokenizer = text()
    assert tokenizer.decode([tokenizer.begin, *tokenizer.encode("six"), tokenizer.end]) == "six"
    assert tokenizer.decode([]) == ""


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"can't encode character '\\ud800' in position 2"):
        text().encode("a \ud800")


def test_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no control symbol <\|size:9\|> in this vocabulary of 330"):
        text().symbol(size_symbol(9))


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_training_gives_the_same_model_again(model_type: Literal["bpe", "unigram"]) -> None:
    first, second = (
        TextTokenizer.train(SENTENCES, vocab_size=300, max_grid=3, model_type=model_type) for _ in range(2)
    )
    assert first.model == second.model
    assert (first.vocab_size, first.max_grid) == (300, 3)
    assert first.decode(first.encode("which digit? <|end|>")) == "which digit? <|end|>"


@pytest.mark.parametrize(
    ("texts", "vocab_size", "message"),
    [
        (SENTENCES, 268, "vocab_size 268 is too small: 256 bytes and 12 control symbols .* more than 269"),
        ([], 300, "no SentencePiece model of 300 pieces from this text"),
        (["ab"], 5000, "no SentencePiece model of 5000 pieces from this text: .*too high"),
    ],
    ids=["small vocabulary", "no text", "too little text"],
)
def test_training_that_cannot_work_says_why(texts: list[str], vocab_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextTokenizer.train(texts, vocab_size, max_grid=3)


@pytest.mark.parametrize("max_grid", [0, -1])
def test_a_grid_needs_a_row(max_grid: int) -> None:
    with pytest.raises(ValueError, match=f"max_grid is {max_grid}, expected at least 1"):
        TextTokenizer.train(SENTENCES, 300, max_grid)


def test_saved_and_loaded(tmp_path: Path) -> None:
    text().save(tmp_path / "new" / "folder")
    loaded = TextTokenizer.load(tmp_path / "new" / "folder")
    assert loaded.model == text().model
    assert loaded.encode("which digit?") == text().encode("which digit?")


def test_loading_from_nothing_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"text\.model: no text tokenizer here; train one with `omni"):
        TextTokenizer.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=rf"text\.model: {len(content)} bytes, no SentencePiece model"):
        TextTokenizer(content)
