"""Which tokens the text head may choose, by where an answer stands."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from omni.inference.row import Phase, Row
from omni.layout import Layout
from omni.modality import MODALITIES, Modality

Key = tuple[Phase, int, bool, bool]


class Grammar:
    """Masks over the vocabulary, each made once."""

    def __init__(self, layout: Layout, generated: tuple[Modality, ...] = MODALITIES) -> None:
        """``generated`` are the modalities that the model has a head for."""
        self.layout = layout
        self.openings = sorted(layout.opening[m.id] for m in generated if m.opening)
        self._masks: dict[Key, Tensor] = {}

    def masks(self, rows: list[Row]) -> Float[Tensor, "B V"]:
        """To be added to logits: 0 for tokens that the row may choose now, minus infinity for others.

        One mask for all, (1, V), where they may choose the same.
        """
        keys = [self._key(row) for row in rows]
        if len(set(keys)) == 1:
            return self._mask(keys[0], rows[0])[None]
        return torch.stack([self._mask(key, row) for key, row in zip(keys, rows, strict=True)])

    @staticmethod
    def _key(row: Row) -> Key:
        """Phase, rows or columns if they are fixed, what may end or begin."""
        phase, grid = row.phase, row.options.grid
        if phase is Phase.GRID_ROWS:
            return phase, -grid[0] if grid else 0, False, False
        if phase is Phase.GRID_COLS:
            return phase, -grid[1] if grid else row.grid[0], False, False
        return phase, 0, row.text_count > 0 or row.want is None, row.want is None

    def _mask(self, key: Key, row: Row) -> Float[Tensor, " V"]:
        if key not in self._masks:
            allowed = self._allowed(key, row)
            self._masks[key] = torch.zeros(len(allowed)).masked_fill(~allowed, float("-inf"))
        return self._masks[key]

    def _allowed(self, key: Key, row: Row) -> Tensor:
        text, (phase, size, ends, opens) = self.layout.text, key
        allowed = torch.zeros(text.vocab_size, dtype=torch.bool)
        if phase in (Phase.GRID_ROWS, Phase.GRID_COLS):
            other = 1 if phase is Phase.GRID_ROWS else size
            fits = [
                token for token, n in text.sizes.items() if (n == -size if size < 0 else row.fits(n, other))
            ]
            allowed[fits] = True
            return allowed
        allowed[:] = True
        allowed[sorted(text.control_ids)] = False
        allowed[text.end] = ends
        if opens:
            allowed[self.openings] = True
        return allowed
