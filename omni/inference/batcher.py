"""Continuous batching: rows of any modality and length share one model; they come and go at every step.

A step runs one flat row of positions through the model: the newest one of each row that is being answered, and up
to ``chunk`` positions of prompts. So a long prompt does not hold up the others, and weights are read once for
both.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omni.inference.cache import Piece, SlotCache, StepAttention
from omni.inference.draw import Drawer
from omni.inference.grammar import Grammar
from omni.inference.lane import Lane, batch_of
from omni.inference.reader import Reader
from omni.inference.row import Row
from omni.layout import Layout
from omni.model import OmniTransformer


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Sizes of the engine."""

    slots: int = 64
    """Sequences in the cache at once. An answer takes one, and two where it is guided. Each has room for the
    longest."""
    chunk: int = 512
    """Positions of prompts that are read in one step at most."""
    positions: int = 0
    """Positions that prompt and answer can have together; 0 for no limit."""
    fixed: bool = False
    """Run steps of one fixed shape, ``slots`` rows that look at ``positions`` each. The bits of an answer then do
    not depend on what else is in the batch; otherwise rounding does. It is slower."""
    packs: bool = True
    """On a CPU in fp32: keep a second copy of the matrices, in an order that is read twice as fast."""

    def __post_init__(self) -> None:
        for name, least in (("slots", 1), ("chunk", 1), ("positions", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.fixed and not self.positions:
            raise ValueError("steps of a fixed shape need a limit: set positions, got 0")


class Batcher:
    """Rows that grow together."""

    def __init__(self, model: OmniTransformer, layout: Layout, config: EngineConfig) -> None:
        if config.fixed and model.encoders is not None:
            raise ValueError(
                "steps of a fixed shape have no room for a picture or clip that an encoder must read in one piece: "
                "set fixed to false for a model with encoders"
            )
        if model.training:  # going through all modules takes milliseconds
            model.eval()
        self.model, self.config = model, config
        self.device = next(model.parameters()).device
        self.cache = SlotCache(model.config.layers, config.slots)
        self.reader = Reader(model, config.packs, config.fixed)
        grammar = Grammar(layout, model.config.generated)
        self.drawer = Drawer(model, grammar, config.slots if config.fixed else 0, config.packs)
        self.lanes: dict[Row, list[Lane]] = {}
        """Of each row: its own lane, and its twin's."""
        self.by_slot: dict[int, Lane] = {}
        self.decoding = 0
        """Lanes of rows that are being answered; they lie in the first slots."""
        if config.fixed:
            self.cache.reserve(config.positions)
        self.filling: deque[Lane] = deque()
        """Lanes whose prompts are not read yet, first come first served."""

    @property
    def free(self) -> int:
        """Slots that hold nothing."""
        return self.config.slots - len(self.by_slot)

    @torch.inference_mode()
    def add(self, row: Row) -> None:
        """Take a row in; there must be a free slot for it and one for its twin."""
        assert self.free >= len(row.builders), (self.free, self.config.slots)
        free = (slot for slot in range(self.config.slots) if slot not in self.by_slot)
        lanes = [Lane(builder, slot) for builder, slot in zip(row.builders, free, strict=False)]
        self.lanes[row] = lanes
        self.by_slot.update((lane.slot, lane) for lane in lanes)
        self.filling.extend(lanes)
        self.cache.reserve(max(lane.unread for lane in lanes) + 1)

    @torch.inference_mode()
    def remove(self, row: Row) -> None:
        """Free the slots of a row."""
        for lane in self.lanes.pop(row):
            if lane in self.filling:
                self.filling.remove(lane)
            if lane.slot < self.decoding:
                self.decoding -= 1
                self._swap(lane, self.decoding)
            del self.by_slot[lane.slot]

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Read up to a chunk of prompts and one position of all others; lay down the next one of each row.

        Returns the rows that got one.
        """
        pieces = self._pieces()
        if not (self.decoding or pieces):
            return []
        if self.config.fixed and pieces:
            self._forward(0, pieces)
        else:
            self._forward(self.decoding, pieces)
        ready = [row for row, lanes in self.lanes.items() if all(lane.hidden_D is not None for lane in lanes)]
        if ready:
            for lane in (lane for row in ready for lane in self.lanes[row] if lane.slot >= self.decoding):
                self._swap(lane, self.decoding)
                self.decoding += 1
            self.drawer.draw(ready, *self._hidden(ready))
        return ready

    def _pieces(self) -> list[tuple[Lane, Piece]]:
        """What to read of prompts in this step."""
        room = self.config.chunk
        pieces: list[tuple[Lane, Piece]] = []
        for lane in self.filling:
            if room == 0 or (self.config.fixed and pieces):
                break
            pieces.append((lane, lane.piece(room, whole=self.model.encoders is not None)))
            room = max(0, room - pieces[-1][1].new)
        return pieces

    def _forward(self, decoding: int, pieces: list[tuple[Lane, Piece]]) -> None:
        """Read the newest position of the lanes in the first slots, and pieces of prompts."""
        config = self.config
        lanes = [self.by_slot[slot] for slot in range(decoding)]
        past, span, length = [lane.read for lane in lanes], None, 0
        if config.fixed and pieces:
            length = config.chunk
        elif config.fixed:  # all slots take a position, most in vain
            others = (self.by_slot.get(slot) for slot in range(decoding, config.slots))
            past += [lane.read if lane else 0 for lane in others]
            span, length = config.positions, config.slots
        parts = [(lane, 1) for lane in lanes] + [(lane, piece.new) for lane, piece in pieces]
        length = length or sum(count for _, count in parts)
        context = StepAttention(self.cache, past, [piece for _, piece in pieces], span, self.device)
        batch = batch_of(parts, self.model.vocabulary, self.device, length)
        last = max(lane.builder.clock for lane, _ in parts)
        hidden_ND = self.reader(batch, context, last)
        ends = torch.tensor([count for _, count in parts]).cumsum(0) - 1
        for (lane, _), hidden_D in zip(parts, hidden_ND[ends], strict=True):
            if lane.unread == 0:
                lane.hidden_D = hidden_D
        for lane, _ in pieces:
            if lane.unread == 0:
                self.filling.remove(lane)

    def _hidden(self, rows: list[Row]) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"] | None]:
        """Hidden states of rows and of their twins (a row without one stands in for it); then they are used up."""
        own: list[Tensor] = []
        free: list[Tensor] = []
        for row in rows:
            lanes = self.lanes[row]
            for kept, lane in ((own, lanes[0]), (free, lanes[-1])):
                assert lane.hidden_D is not None, lane.slot
                kept.append(lane.hidden_D)
        for lane in (lane for row in rows for lane in self.lanes[row]):
            lane.hidden_D = None
        twins = any(row.twin is not None for row in rows)
        return torch.stack(own), torch.stack(free) if twins else None

    def _swap(self, lane: Lane, slot: int) -> None:
        """Put a lane in another slot, and what is there, if anything, in its own."""
        if lane.slot == slot:
            return
        other = self.by_slot.pop(slot, None)
        self.cache.swap(lane.slot, slot, max(lane.read, other.read if other else 0))
        del self.by_slot[lane.slot]
        if other is not None:
            other.slot = lane.slot
            self.by_slot[other.slot] = other
        lane.slot = slot
        self.by_slot[slot] = lane
