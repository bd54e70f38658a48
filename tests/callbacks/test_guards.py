"""Harmful steps are skipped before anything moves; without one the guards change nothing; a budget ends the run."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.callbacks.divergence import DivergenceError
from omni.callbacks.drift import DriftAlarms
from omni.callbacks.guards import SKIPPED_FILE, Guards
from omni.optim.config import OptimConfig
from tests.callbacks.watched_run import BeforeStep, Kept
from tests.faults.planted import Planted, Snapshots, differing
from tests.tiny_run import AfterStep, fit, weights, write_corpus
from tests.training.test_resume import stop

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

BAD, STEPS = 5, 8
FEW, LATE = 4, 7
"""Figures without which nothing is judged here, and a step behind so many."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge after a few steps."""
    monkeypatch.setattr("omni.callbacks.spikes.LEAST", FEW)


def told(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / SKIPPED_FILE).read_text().splitlines()]


@pytest.mark.parametrize("rows", [4, 2], ids=["one batch", "two batches a step"])
def test_a_batch_with_a_nan_moves_nothing_and_is_named(corpus: Path, tmp_path: Path, rows: int) -> None:
    guards, seen, kept = Guards(), Snapshots(), Kept()
    callbacks = [Planted("nan", BAD), guards, DriftAlarms(1), seen]
    with pytest.warns(UserWarning, match=rf"loss is nan.* at step {BAD}, .* documents \d+, .*is skipped"):
        fit(corpus, tmp_path, batch_rows=rows, callbacks=callbacks, logger=kept)
    behind = seen.behind
    assert differing(behind[BAD], behind[BAD - 1]) == set(), "weights, biases and moments stay"
    assert {"model.blocks.1.moe.router.bias", "0.exp_avg", "0.step"} <= differing(
        behind[BAD + 1], behind[BAD]
    )
    assert all(torch.isfinite(tensor).all() for tensor in behind[STEPS].values())
    (line,) = told(tmp_path)
    assert (line["step"], line["loss"], guards.skipped) == (BAD, "NaN", [BAD])
    assert len(line["batches"]) == 4 // rows
    assert [batch["loss"] == "NaN" for batch in line["batches"]] == [True] * (4 // rows)
    trained = sorted(row for batch in line["batches"] for row in batch["rows"])
    assert trained == list(range(4 * (BAD - 1), 4 * BAD))
    assert all(set(batch["documents"]) < {f"{n:06}" for n in range(60)} for batch in line["batches"])
    assert kept.steps[BAD - 1]["guards/skipped_steps"] == 1.0


@pytest.mark.parametrize("clip", [1.0, None])
def test_without_a_spike_nothing_changes(corpus: Path, tmp_path: Path, clip: float | None) -> None:
    """To the last bit."""
    run = partial(fit, corpus, tmp_path, gradient_clip_val=clip)
    plain, guarded = (weights(run(callbacks=callbacks)) for callbacks in ([], [Guards(window=4)]))
    assert differing(plain, guarded) == set()


def test_muon_stays_too(corpus: Path, tmp_path: Path) -> None:
    seen = Snapshots()
    optim = OptimConfig(lr=3e-3, warmup_steps=2, optimizer="muon")
    fit(corpus, tmp_path, callbacks=[Planted("nan", BAD), Guards(), seen], optim=optim, max_steps=BAD)
    assert differing(seen.behind[BAD], seen.behind[BAD - 1]) == set()


@pytest.mark.usefixtures("early")
def test_a_spike_is_skipped_and_its_size_told(corpus: Path, tmp_path: Path) -> None:
    guards, seen = Guards(window=2 * FEW), Snapshots()
    run = partial(fit, corpus, tmp_path, max_steps=LATE + 1, callbacks=[Planted("spike", LATE), guards, seen])
    with pytest.warns(
        UserWarning, match=rf"the loss is \d.*, above \d.*; the gradient norm is .* at step {LATE}"
    ):
        run()
    assert guards.skipped == [LATE]
    assert differing(seen.behind[LATE], seen.behind[LATE - 1]) == set()
    unguarded = Guards(deviations=None)
    fit(corpus, tmp_path, max_steps=LATE, callbacks=[Planted("spike", LATE), unguarded])
    assert unguarded.skipped == [], "without deviations only what isn't finite is"


def test_a_budget_of_skips_ends_the_run_and_names_the_checkpoint(corpus: Path, tmp_path: Path) -> None:
    """Step 4 is saved; then the weights are broken."""
    broken = BeforeStep(6, lambda model: model.norm.weight.fill_(torch.nan))
    with pytest.raises(DivergenceError) as ended:
        fit(corpus, tmp_path, callbacks=[broken, Guards(most_skipped=1)])
    message = str(ended.value)
    assert message.startswith(
        "the loss is nan; the gradient norm is nan at step 7, most of it on rank 0, with"
    )
    assert "2 of the last 1000 steps would be skipped, guards.most_skipped allows 1. The last" in message
    assert f"The last checkpoint is {tmp_path}/epoch=0-step=4.ckpt" in message


def test_each_skip_is_told_and_those_that_lie_back_are_not_counted(corpus: Path, tmp_path: Path) -> None:
    guards = Guards(most_skipped=2, within_steps=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(corpus, tmp_path, callbacks=[Planted("nan", 2, until=3), Planted("nan", 6), guards])
    assert guards.skipped == [2, 3, 6]
    told = [str(one.message) for one in caught if "is skipped" in str(one.message)]
    assert [message[message.index("(") :] for message in told] == [
        f"({count} of the last 3 steps, 2 allowed)" for count in (1, 2, 1)
    ]


@pytest.mark.usefixtures("early")
def test_a_resumed_run_decides_as_an_uninterrupted_one(corpus: Path, tmp_path: Path) -> None:
    whole, first, second = (Guards(window=2 * FEW) for _ in range(3))
    bad = [Planted("nan", 3), Planted("spike", LATE)]
    run = partial(fit, corpus)
    end = weights(run(tmp_path / "whole", callbacks=[*bad, whole]))
    run(tmp_path / "parts", callbacks=[*bad, first, AfterStep(4, stop)])
    rest = run(tmp_path / "rest", callbacks=[*bad, second], resume=tmp_path / "parts" / "last.ckpt")
    assert whole.skipped == [3, LATE] and first.skipped == [3]
    assert whole.state_dict() == second.state_dict()
    assert differing(end, weights(rest)) == set()


def test_switched_off_they_do_nothing(corpus: Path, tmp_path: Path) -> None:
    guards = Guards(enabled=False)
    module = fit(corpus, tmp_path, max_steps=2, callbacks=[Planted("nan", 2), guards])
    assert guards.skipped == [] and module.model.norm.weight.isnan().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 3}, "guards.window must be at least 4, got 3"),
        ({"deviations": 0.0}, "guards.deviations must be positive, or null for none, got 0.0"),
        ({"most_skipped": -1}, "guards.most_skipped must be at least 0, got -1"),
        ({"within_steps": 0}, "guards.within_steps must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Guards(**settings)


def test_overflow_of_the_loss_scale_is_left_to_the_scaler() -> None:
    guards = Guards()
    assert guards._reasons(1.0, float("inf"), scaled=True) == []
    assert guards._reasons(1.0, float("inf"), scaled=False) == ["the gradient norm is inf"]
    assert guards._reasons(float("nan"), float("inf"), scaled=True)[0] == "the loss is nan"
