"""Text while it is written: what of it is final, and whether it has come to a stop string."""

from __future__ import annotations

from omni.tokenizers.text import TextTokenizer

INCOMPLETE = "\ufffd"
"""How bytes decode that are no whole character."""
LONGEST_CHARACTER = 4
"""Bytes of UTF-8."""


class TextRun:
    """Tokens of one piece of text, decoded as they come."""

    def __init__(self, tokenizer: TextTokenizer, stops: tuple[str, ...]) -> None:
        self.tokenizer, self.stops = tokenizer, stops
        self.text = ""
        """All whole characters, up to a stop string."""
        self.stopped = False
        self._pending: list[int] = []  # tokens that may be parts of a character
        self._given = 0

    def push(self, token: int) -> None:
        """Take the next token."""
        self._pending.append(token)
        decoded = self.tokenizer.decode(self._pending)
        if not decoded.endswith(INCOMPLETE) or len(self._pending) >= LONGEST_CHARACTER:
            self._append(decoded)

    def _append(self, decoded: str) -> None:
        searched = max(0, len(self.text) - max(map(len, self.stops), default=0))
        self._pending, self.text = [], self.text + decoded
        found = [at for at in (self.text.find(stop, searched) for stop in self.stops) if at >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True

    def news(self, ended: bool) -> str:
        """Characters that are final and were not given before; while the text goes on, without a stop's beginning."""
        if ended and self._pending:
            self._append(self.tokenizer.decode(self._pending))
        end = len(self.text)
        if not (ended or self.stopped):
            end -= max((_begun(self.text, stop) for stop in self.stops), default=0)
        news = self.text[self._given : end]
        self._given = max(self._given, end)
        return news


def _begun(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
