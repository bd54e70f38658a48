"""The mixture: shares in positions are exact at any point, and it goes on from its counters alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.stream.mixture import Counters, Mixture
from omni.datamodules.stream.source import Source
from omni.datamodules.stream.table import Table
from tests.datamodules.stream.tables import EveryFive, random_table, table_of


def source_of(table: Table, name: str = "web", too_long: str = "drop", capacity: int = 20) -> Source:
    cuts = EveryFive(table)
    return Source(name, table, capacity=capacity, too_long=too_long, run=4, seed=1, cuts=cuts)  # type: ignore[arg-type]


def mixture_of(*tables: Table, once: bool = False) -> Mixture:
    return Mixture([source_of(table, f"source{number}") for number, table in enumerate(tables)], once)


def start_of(mixture: Mixture) -> tuple[Counters, ...]:
    return (Counters(),) * len(mixture.sources)


def slow_order(tables: list[Table], shares: list[float], pieces: int) -> list[list[int]]:
    """The rule itself, one document after another."""
    sources = [mixture_of(*tables).sources[number] for number in range(len(tables))]
    queues: list[list[list[int]]] = [[] for _ in sources]
    epochs, spent = [0] * len(sources), [0] * len(sources)
    found = []
    for _ in range(pieces):
        number = min(
            (n for n in range(len(sources)) if shares[n]), key=lambda n: spent[n] / np.float64(shares[n])
        )
        if not queues[number]:
            for chunk in range(sources[number].chunks):
                queues[number] += sources[number].chunk(epochs[number], chunk).pieces.tolist()
            epochs[number] += 1
        piece = queues[number].pop(0)
        spent[number] += piece[2] - piece[1]
        found.append([number, *piece])
    return found


TABLES = [random_table(30, 0, 1, 20), random_table(7, 1, 10, 20), random_table(50, 2, 1, 4)]


@pytest.mark.parametrize("shares", [[0.5, 0.3, 0.2], [0.98, 0.01, 0.01], [0.0, 1.0, 0.0], [1 / 3] * 3])
def test_it_is_the_rule(shares: list[float]) -> None:
    mixture = mixture_of(*TABLES)
    taken = mixture.take(start_of(mixture), np.array(shares), 300)
    assert taken.pieces.tolist() == slow_order(TABLES, shares, 300)


@settings(max_examples=15)
@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=3))
def test_no_prefix_is_off_by_more_than_a_few_documents(weights: list[float]) -> None:
    """Ahead by one document at most, behind by one's share of one of each source."""
    share = np.array(weights) / sum(weights)
    mixture = mixture_of(*TABLES[: len(share)])
    pieces = mixture.take(start_of(mixture), share, 400).pieces
    lengths = pieces[:, 3] - pieces[:, 2]
    longest = np.array([int(table.lengths.max()) for table in TABLES[: len(share)]])
    each = np.stack([np.cumsum(np.where(pieces[:, 0] == n, lengths, 0)) for n in range(len(share))], axis=1)
    off = each - np.cumsum(lengths)[:, None] * share
    assert (off <= longest + 1e-6).all()
    assert (off >= -share * longest.sum() - 1e-6).all()


@settings(max_examples=15)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_it_goes_on_from_its_counters(parts: list[int]) -> None:
    share = np.array([0.5, 0.3, 0.2])
    mixture = mixture_of(*TABLES)
    whole = mixture.take(start_of(mixture), share, sum(parts))
    counters, found = start_of(mixture), []
    for part in parts:
        taken = mixture_of(*TABLES).take(counters, share, part)
        found += taken.pieces.tolist()
        counters = taken.after
    assert found == whole.pieces.tolist()
    assert counters == whole.after


def test_counters_count() -> None:
    mixture = mixture_of(*TABLES)
    taken = mixture.take(start_of(mixture), np.array([0.5, 0.25, 0.25]), 200)
    for number, counters in enumerate(taken.after):
        mine = taken.pieces[taken.pieces[:, 0] == number]
        assert counters.documents == len(mine)
        assert counters.positions == counters.spent == int((mine[:, 3] - mine[:, 2]).sum())
        assert counters.epoch == (len(mine) - 1) // len(TABLES[number].lengths)


def test_a_chunk_is_no_border() -> None:
    """Five thousand documents are three chunks of an epoch; each comes once."""
    mixture = mixture_of(random_table(5000, 0), random_table(100, 1))
    taken = mixture.take(start_of(mixture), np.array([0.9, 0.1]), 6000)
    first = taken.pieces[taken.pieces[:, 0] == 0]
    assert sorted(first[:5000, 1].tolist()) == list(range(5000))
    assert taken.after[0].epoch == 1
    assert first[:5000, 1].tolist() != first[5000:, 1].tolist()


def test_once_ends_when_all_are_given() -> None:
    mixture = mixture_of(*TABLES, once=True)
    taken = mixture.take(start_of(mixture), np.array([0.8, 0.1, 0.1]), 50)
    rest = mixture.take(taken.after, np.array([0.8, 0.1, 0.1]), 1000)
    both = np.concatenate([taken.pieces, rest.pieces])[:, :2].tolist()
    assert sorted(both) == [[n, i] for n, table in enumerate(TABLES) for i in range(len(table.lengths))]
    assert len(mixture.take(rest.after, np.array([0.8, 0.1, 0.1]), 1000).pieces) == 0


# ------------------------------------------------------------------ one source


def test_split_documents_count_once_and_what_is_lost_is_counted() -> None:
    """Documents of pictures of five positions each, rows of 12: 23 positions are two pictures and two and a bit."""
    table = table_of([23, 4, 0, 12])
    source = source_of(table, too_long="split", capacity=12)
    pieces = source.chunk(0, 0).pieces.tolist()
    assert sorted(pieces) == [[0, 0, 10], [0, 10, 20], [0, 20, 23], [1, 0, 4], [3, 0, 12]]
    mixture = Mixture([source], once=False)
    after = mixture.take((Counters(),), np.ones(1), 10).after[0]
    assert (after.documents, after.positions, after.lost) == (6, 2 * 39, 0)
    assert source.targets(np.array([[0, 0, 10], [1, 0, 4]])).tolist() == [[10, 0, 0], [2, 1, 1]]


@pytest.mark.parametrize(("too_long", "lost"), [("drop", 23), ("truncate", 13), ("split", 0)])
def test_lost_positions_are_counted_when_their_chunk_is_finished(too_long: str, lost: int) -> None:
    source = source_of(table_of([23, 4, 0, 12]), too_long=too_long, capacity=12)
    assert source.chunk(0, 0).lost == lost
    after = Mixture([source], once=False).take((Counters(),), np.ones(1), 100).after[0]
    assert after.lost == lost * after.epoch


def test_the_census_counts_every_document() -> None:
    census = source_of(table_of([23, 4, 0, 12, 30]), capacity=12).census
    assert (census.documents, census.unreadable, census.too_long, census.usable) == (5, 1, 2, 2)
    assert census.positions == 16
    assert source_of(table_of([23, 4, 30]), too_long="truncate", capacity=12).census.positions == 28
    assert source_of(table_of([23, 4, 30]), too_long="split", capacity=12).census.positions == 57


def test_long_documents_need_cuts() -> None:
    with pytest.raises(
        ValueError, match=r"web: 1 documents are longer than a row.*needs Cuts for this source"
    ):
        Source("web", table_of([5, 11]), capacity=10, too_long="split", run=4, seed=0)


def test_documents_that_cannot_be_cut_are_an_error_where_there_are_no_others() -> None:
    mixture = Mixture([source_of(table_of([5, 10]), too_long="split", capacity=4)], once=False)
    with pytest.raises(ValueError, match=r"web: none of its documents can be used.*can't be cut"):
        mixture.take((Counters(),), np.ones(1), 1)
