"""The order of training: a pure function of (tables of the sources, settings, seed).

::

    source  ─► runs of neighbours, shuffled by a keyed permutation; another key each epoch
    mixture ─► one order of documents, exact shares in positions
    window  ─► 4,096 documents at a time, packed into rows, the rows shuffled
    step    ─► the next global_rows rows, which may come from several windows

Workers only fetch what the plan says, so nothing about the order depends on their timing or number, and the set
of rows of a step depends on no number of ranks. The plan goes on from a handful of counters; what it has
computed it keeps for speed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Int

from omni.datamodules.stream.balance import piece_costs
from omni.datamodules.stream.mixture import Counters, Mixture, Taken
from omni.datamodules.stream.permutation import key_of
from omni.datamodules.stream.pieces import Cuts
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.source import CHUNK, Source
from omni.datamodules.stream.state import PlanState, Progress
from omni.datamodules.stream.table import Census, Table
from omni.datamodules.stream.weights import MixtureConfig, Schedule
from omni.datamodules.stream.window import Window, pack_window

VERSION = 1
"""Of the order: raised when a change of the code moves it, so that older states are refused."""


@dataclass(frozen=True, eq=False)
class Step:
    """One optimizer step."""

    number: int
    rows: tuple[Int[np.ndarray, "_ 4"], ...]
    """``Piece``s (source, document, start, stop) row by row; none in the rows that fill up a last step."""
    costs: tuple[float, ...]
    """Of each row, in positions without attention."""
    targets: tuple[int, ...]
    """Training targets of the whole step by modality."""
    positions: int
    """Real positions of the whole step."""


class Plan:
    """Steps, endlessly, or once through all documents."""

    def __init__(
        self,
        tables: Mapping[str, Table],
        config: PlanConfig,
        cuts: Mapping[str, Cuts] | None = None,
        once: bool = False,
    ) -> None:
        """
        Args:
            tables: documents of each source by its name.
            config: settings.
            cuts: by source, where documents longer than a row may be cut; needed to truncate or split them.
            once: each document exactly once, as validation has it, whatever the weights; rows without
                documents fill up the last step.

        Raises:
            ValueError: a source has no document that can be used, or the settings don't fit the sources.
        """
        self.config, self.once = config, once
        self.sources = [
            Source(
                name,
                table,
                capacity=config.row_length,
                too_long=config.too_long,
                run=config.run,
                seed=config.seed,
                cuts=(cuts or {}).get(name),
            )
            for name, table in tables.items()
        ]
        sizes = {source.name: source.census.positions for source in self.sources}
        self.schedule = Schedule(MixtureConfig() if once else config.mixture, sizes)
        self.mixture = Mixture(self.sources, once)
        self.window = min(config.window, sum(source.census.usable for source in self.sources))
        """Documents of a window: small data would otherwise be in a window many times."""
        self._kept: dict[tuple[int, tuple[Counters, ...]], Window] = {}  # the latest two

    def census(self) -> dict[str, Census]:
        """How many documents each source has, and how many are left out or cut."""
        return {source.name: source.census for source in self.sources}

    @cached_property
    def fingerprint(self) -> dict[str, int | str]:
        """All that decides the order, so that a saved state is never used with another one."""
        settings = {
            f"data.plan.{one.name}": getattr(self.config, one.name)
            for one in fields(PlanConfig)
            if one.name not in ("mixture", "attention_span", "patch_cost")
        }
        mixture = hashlib.blake2b(repr([source.name for source in self.sources]).encode(), digest_size=8)
        for start, share in zip(self.schedule.starts, self.schedule.shares, strict=True):
            mixture.update(repr((start, share.tolist())).encode())
        digests = {f"data of {source.name}": source.table.digest() for source in self.sources}
        return {
            "version": f"{VERSION}.{CHUNK}",
            **settings,
            "once": int(self.once),
            "data.plan.mixture": mixture.hexdigest(),
            **digests,
        }

    def start(self) -> PlanState:
        """The state before the first step."""
        return PlanState(0, 0, 0, 0, (Counters(),) * len(self.sources))

    def steps(self, state: PlanState | None = None) -> Iterator[tuple[Step, PlanState]]:
        """The steps from ``state`` on (the start by default), each with the state behind it."""
        state = state or self.start()
        while (found := self.step(state)) is not None:
            yield found
            state = found[1]

    def step(self, state: PlanState) -> tuple[Step, PlanState] | None:
        """The step at ``state`` and the state behind it; none when there is nothing left."""
        size = self.config.global_rows
        number, row, phase, counters = state.window, state.row, state.phase, state.counters
        parts: list[tuple[Window, slice]] = []
        missing = size
        while missing:
            window = self._window(number, state.step * size + (size - missing) - row, phase, counters)
            if window is None:
                break
            part = slice(row, min(row + missing, len(window.rows)))
            parts.append((window, part))
            missing -= part.stop - part.start
            row = part.stop
            if row == len(window.rows):
                number, row, phase, counters = number + 1, 0, window.phase, window.after
        if missing == size:
            return None
        empty = np.zeros((0, 4), dtype=np.int64)
        rows = [row for window, part in parts for row in window.rows[part]] + [empty] * missing
        costs = [cost for window, part in parts for cost in window.costs[part].tolist()] + [0.0] * missing
        targets = sum(window.targets[part].sum(0) for window, part in parts)
        positions = sum(int(window.positions[part].sum()) for window, part in parts)
        step = Step(state.step, tuple(rows), tuple(costs), tuple(targets.tolist()), positions)
        return step, PlanState(state.step + 1, number, row, phase, counters)

    def window_at(self, state: PlanState) -> Window | None:
        """The window that the next row belongs to; none when there is nothing left."""
        first = state.first_row(self.config.global_rows)
        return self._window(state.window, first, state.phase, state.counters)

    def progress(self, state: PlanState) -> dict[str, Progress]:
        """What the steps before ``state`` have had of each source."""
        documents, positions = (
            np.array([getattr(counters, name) for counters in state.counters])
            for name in ("documents", "positions")
        )
        if state.row:
            window = self.window_at(state)
            assert window is not None, f"no window at {state}"
            pieces = np.concatenate(window.rows[: state.row])
            sources = len(self.sources)
            documents = documents + np.bincount(pieces[pieces[:, 2] == 0, 0], minlength=sources)
            lengths = np.bincount(pieces[:, 0], pieces[:, 3] - pieces[:, 2], sources)
            positions = positions + lengths.astype(np.int64)
        return {
            source.name: Progress(int(had), int(length), float(had / source.census.usable))
            for source, had, length in zip(self.sources, documents, positions, strict=True)
        }

    def length(self) -> int:
        """Steps of a plan that ends; all of it is packed to count them.

        Raises:
            TypeError: it doesn't.
        """
        if not self.once:
            raise TypeError(
                "this plan has no end: only a plan that goes once through all documents has a length"
            )
        rows = sum(len(window.rows) for window in self._windows())
        return -(-rows // self.config.global_rows)

    def fill(self, windows: int = 8) -> float:
        """Share of the positions of the first windows' rows that hold something."""
        positions = rows = 0
        for _, window in zip(range(windows), self._windows(), strict=False):
            positions += int(window.positions.sum())
            rows += len(window.rows)
        return positions / (rows * self.config.row_length)

    def _windows(self) -> Iterator[Window]:
        at = self.start()
        number, row, phase, counters = 0, 0, at.phase, at.counters
        while (window := self._window(number, row, phase, counters)) is not None:
            yield window
            number, row, phase, counters = number + 1, row + len(window.rows), window.phase, window.after

    def _window(
        self, number: int, first_row: int, phase: int, counters: tuple[Counters, ...]
    ) -> Window | None:
        if (number, counters) not in self._kept:
            window = self._made(number, first_row, phase, counters)
            if window is None:
                return None
            while len(self._kept) >= 2:
                del self._kept[next(iter(self._kept))]
            self._kept[number, counters] = window
        return self._kept[number, counters]

    def _made(self, number: int, first_row: int, phase: int, counters: tuple[Counters, ...]) -> Window | None:
        rows = self.config.global_rows
        now = self.schedule.phase(first_row // rows)
        if now != phase:
            counters = tuple(one._replace(spent=0) for one in counters)
        end = self.schedule.end(now)
        pieces = self.window
        while True:
            taken = self.mixture.take(counters, self.schedule.share(now), pieces)
            pieces = len(taken.pieces)
            if not pieces:
                return None
            window = self._packed(taken, number, now)
            if end is None or first_row + len(window.rows) <= end * rows:
                return window
            # the window would go over a change of the weights: fewer documents, and one always fits
            share = (end * rows - first_row) / len(window.rows)
            pieces = max(1, min(pieces - 1, int(pieces * share)))

    def _packed(self, taken: Taken, number: int, phase: int) -> Window:
        targets = self._targets(taken.pieces)
        lengths = taken.pieces[:, 3] - taken.pieces[:, 2]
        return pack_window(
            taken.pieces,
            piece_costs(lengths, targets, self.config.attention_span, self.config.patch_cost),
            targets,
            row_length=self.config.row_length,
            key=key_of(self.config.seed, "rows", number),
            phase=phase,
            after=taken.after,
        )

    def _targets(self, pieces: Int[np.ndarray, "pieces 4"]) -> Int[np.ndarray, "pieces M"]:
        modalities = self.sources[0].table.targets.shape[1]
        targets = np.empty((len(pieces), modalities), dtype=np.int64)
        for number, source in enumerate(self.sources):
            of_source = pieces[:, 0] == number
            targets[of_source] = source.targets(pieces[of_source, 1:])
        return targets
