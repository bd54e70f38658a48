"""Haystacks: running lines of prose of a given number of text tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from omni.datamodules.demo.prose import Passage


class Haystack:
    """Lines in their natural order, begun anywhere and begun again behind the last."""

    def __init__(self, lines: Sequence[str], count_tokens: Callable[[str], int]) -> None:
        """
        Raises:
            ValueError: no lines.
        """
        if not lines:
            raise ValueError("a haystack needs at least one line, got none")
        self.lines = tuple(lines)
        self.tokens = np.array([count_tokens(line) for line in lines])

    def take(self, tokens: int, rng: np.random.Generator) -> list[str]:
        """Lines from a random one on, of at most ``tokens`` tokens when encoded one by one."""
        start, taken = int(rng.integers(len(self.lines))), []
        while (left := tokens - int(self.tokens[start])) >= 0:
            taken.append(self.lines[start])
            tokens, start = left, (start + 1) % len(self.lines)
        return taken


def lines_of(passages: Iterable[Passage]) -> list[str]:
    """The lines of passages, each with its line break; empty ones are left out."""
    return [line + "\n" for passage in passages for line in passage.text.splitlines() if line.strip()]
