"""Text to ids with SentencePiece; the control symbols of the sequence format live in its vocabulary.

Control symbols are SentencePiece *control* pieces: no text, however written, encodes to them.
Any text survives ``decode(encode(text))`` except U+2581, which SentencePiece uses for the space.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal

import sentencepiece

from omni.modality import AUDIO, IMAGE
from omni.sequence import ROLES, Role

BEGIN = "<|begin|>"
END = "<|end|>"
TEXT_FILE = "text.model"


def size_symbol(size: int) -> str:
    """The symbol that announces ``size`` rows or columns of patches."""
    return f"<|size:{size}|>"


def control_symbols(max_grid: int) -> list[str]:
    """All control symbols, in the order of their ids."""
    clips = [symbol for m in (IMAGE, AUDIO) for symbol in (m.opening, m.closing) if symbol]
    roles = [f"<|{role}|>" for role in ROLES]
    return [BEGIN, END, *clips, *roles, *(size_symbol(n) for n in range(1, max_grid + 1))]


class TextTokenizer:
    """A SentencePiece model with byte fallback: nothing is out of vocabulary."""

    def __init__(self, model: bytes) -> None:
        """
        Raises:
            ValueError: ``model`` is no SentencePiece model, or one without the control symbols.
        """
        self.model = model
        try:
            self.pieces = sentencepiece.SentencePieceProcessor(model_proto=model or b"empty")
        except RuntimeError as error:
            raise ValueError(f"{TEXT_FILE}: {len(model)} bytes, no SentencePiece model ({error})") from error
        if self.pieces.piece_to_id(BEGIN) == self.pieces.unk_id():
            raise ValueError(f"this SentencePiece model has no control symbol {BEGIN}: train it with omni")

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        max_grid: int = 64,
        model_type: Literal["bpe", "unigram"] = "bpe",
    ) -> TextTokenizer:
        """Train on ``texts``; ``max_grid`` is the largest number of rows or columns a picture can have.

        Raises:
            ValueError: ``vocab_size`` can't hold the bytes and control symbols, ``max_grid`` is below 1, or the
                text is too small.
        """
        if max_grid < 1:
            raise ValueError(f"max_grid is {max_grid}, expected at least 1")
        symbols = control_symbols(max_grid)
        least = 256 + len(symbols) + 1
        if vocab_size <= least:
            raise ValueError(
                f"vocab_size {vocab_size} is too small: 256 bytes and {len(symbols)} control symbols "
                f"(max_grid {max_grid}) need more than {least}"
            )
        buffer = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=buffer,
                vocab_size=vocab_size,
                model_type=model_type,
                byte_fallback=True,
                character_coverage=0.9999,
                control_symbols=symbols,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                split_digits=True,
                allow_whitespace_only_pieces=True,
                max_sentence_length=1 << 16,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ValueError(
                f"no SentencePiece model of {vocab_size} pieces from this text: {error}"
            ) from error
        return cls(buffer.getvalue())

    @classmethod
    def load(cls, folder: Path | str) -> TextTokenizer:
        """Load from the folder that ``save`` wrote."""
        path = Path(folder) / TEXT_FILE
        if not path.is_file():
            raise ValueError(
                f"{path}: no text tokenizer here; train one with "
                f"`omni tokenizer train-text --data FILES --out {Path(folder)}`"
            )
        return cls(path.read_bytes())

    def save(self, folder: Path | str) -> None:
        """Write the model to ``folder/text.model``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TEXT_FILE).write_bytes(self.model)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; never control symbols.

        Raises:
            ValueError: half of a surrogate pair, which is no Unicode text.
        """
        try:
            return self.pieces.encode(text)
        except RuntimeError:
            text.encode()  # says which character it was
            raise

    def decode(self, ids: list[int]) -> str:
        """Text of the ids; control symbols are left out."""
        return self.pieces.decode(ids)

    def symbol(self, symbol: str) -> int:
        """Id of a control symbol."""
        index = self.pieces.piece_to_id(symbol)
        if index == self.pieces.unk_id():
            raise ValueError(f"no control symbol {symbol} in this vocabulary of {self.vocab_size}")
        return index

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.pieces.get_piece_size()

    @cached_property
    def begin(self) -> int:
        """Id of the symbol that opens every document."""
        return self.symbol(BEGIN)

    @cached_property
    def end(self) -> int:
        """Id of the symbol that closes a turn, or a document without turns."""
        return self.symbol(END)

    @cached_property
    def roles(self) -> dict[int, Role]:
        """Role of each role symbol's id."""
        return {self.symbol(f"<|{role}|>"): role for role in ROLES}

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Grid size of each size symbol's id."""
        found: dict[int, int] = {}
        while (index := self.pieces.piece_to_id(size_symbol(len(found) + 1))) != self.pieces.unk_id():
            found[index] = len(found) + 1
        return found

    @property
    def max_grid(self) -> int:
        """Largest number of rows or columns that can be announced."""
        return len(self.sizes)

    def role(self, role: Role) -> int:
        """Id of the symbol that opens a turn of ``role``."""
        return self.symbol(f"<|{role}|>")

    def size(self, size: int) -> int:
        """Id of the symbol for ``size`` rows or columns."""
        return self.symbol(size_symbol(size))

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids of all control symbols, and of the unknown piece."""
        pieces = self.pieces
        return frozenset(i for i in range(self.vocab_size) if pieces.is_control(i) or pieces.is_unknown(i))
