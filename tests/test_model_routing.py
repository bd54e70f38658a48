"""The whole network under each way of routing: what a document gets does not depend on the rest of the batch."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.sequence import OmniBatch, Sequence
from tests.nn.moe_layer import GROUPS
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, tiny_model

COUNT = 8
"""One document of each direction between modalities, a sum and running text."""


@cache
def documents() -> list[Sequence]:
    return sequences_of(tiny_documents(COUNT))


@cache
def model_of(mode: str, **changes: Any) -> OmniTransformer:
    """In fp64, where other orders of summing can't hide or make a difference."""
    moe = MoEConfig(expert_width=16, **GROUPS[mode], **changes)
    return tiny_model(dtype=torch.float64, moe=moe)


@cache
def alone(number: int, mode: str, **changes: Any) -> Tensor:
    with torch.no_grad():
        return model_of(mode, **changes)(collate([[documents()[number]]])).x_BSD[0]


def of_document(x_BSD: Tensor, rows: list[list[int]], number: int) -> Tensor:
    """The hidden states of a document in rows of documents."""
    for x_SD, row in zip(x_BSD, rows, strict=True):
        if number in row:
            start = sum(len(documents()[n]) for n in row[: row.index(number)])
            return x_SD[start : start + len(documents()[number])]
    raise AssertionError((rows, number))


def packed(rows: list[list[int]], padding: int = 0) -> OmniBatch:
    docs = [[documents()[n] for n in row] for row in rows]
    return collate(docs, max(sum(map(len, row)) for row in docs) + padding)


@st.composite
def packings(draw: st.DrawFn) -> list[list[int]]:
    """Some of the documents, in any order, in up to three rows."""
    numbers = draw(st.lists(st.integers(0, COUNT - 1), min_size=1, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, len(numbers)), max_size=2)))
    parts = [numbers[a:b] for a, b in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]
    return [part for part in parts if part]


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mode", GROUPS)
@settings(max_examples=12)
@given(rows=packings(), padding=st.sampled_from([0, 17]))
def test_a_document_gets_the_same_whatever_is_packed_with_it(
    mode: str, score: str, rows: list[list[int]], padding: int
) -> None:
    with torch.no_grad():
        x_BSD = model_of(mode, score=score)(packed(rows, padding)).x_BSD
    for number in (n for row in rows for n in row):
        got = of_document(x_BSD, rows, number)
        torch.testing.assert_close(got, alone(number, mode, score=score), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", GROUPS)
def test_with_expert_choice_it_gets_something_else(mode: str) -> None:
    rows = [[3, 0, 5], [1, 2]]
    with torch.no_grad():
        x_BSD = model_of(mode, choice="experts")(packed(rows)).x_BSD
    for number in (n for row in rows for n in row):
        got = of_document(x_BSD, rows, number)
        assert (got - alone(number, mode, choice="experts")).abs().max() > 0.01, number


def test_expert_choice_sees_the_future_and_position_choice_does_not() -> None:
    """The same text, and then another end: what stands before the end has changed with it, or has not."""
    document = documents()[6]
    cut = Sequence(
        **{
            name: getattr(document, name)[: len(document) // 2]
            for name in ("modality", "text_ids", "coords", "loss")
        },
        patches=document.patches,
        codes=document.codes,
    )
    assert not len(document.patches) and not len(document.codes), "running text"
    for choice, seen in (("positions", False), ("experts", True)):
        model = model_of("agnostic", choice=choice)
        with torch.no_grad():
            whole, part = (model(collate([[d]])).x_BSD[0] for d in (document, cut))
        assert bool((whole[: len(cut)] - part).abs().max() > 1e-6) == seen, choice


@pytest.mark.parametrize("mode", GROUPS)
def test_expert_choice_trains_every_weight(mode: str) -> None:
    model = tiny_model(moe=MoEConfig(expert_width=16, choice="experts", **GROUPS[mode]))
    batch = packed([[0, 1, 2, 3], [4, 5, 6, 7]], padding=9)
    compute_losses(model, model(batch), batch).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_balance_loss_is_one_for_each_position_and_layer_at_least_nearly() -> None:
    """And stands in the total with its weight, divided by the positions of the whole step and the layers."""
    batch = packed([[0, 1, 2, 3], [4, 5, 6, 7]])
    totals = []
    for weight in (1e-9, 0.5):
        model = model_of("hybrid", balance_loss=weight)
        losses = compute_losses(model, model(batch), batch)
        totals.append(losses.total.item())
    layers = 2
    assert 1.0 <= losses.router_balance.item() / (layers * batch.step_positions) < 3.0
    expected = 0.5 * losses.router_balance.item() / (layers * batch.step_positions)
    assert totals[1] - totals[0] == pytest.approx(expected, rel=1e-6)


def test_without_a_weight_no_balance_is_computed() -> None:
    model, batch = model_of("agnostic"), packed([[0, 1]])
    assert compute_losses(model, model(batch), batch).router_balance.item() == 0
