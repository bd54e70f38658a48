"""A healthy run raises no alarm; one that is made to diverge names what does, in modality and layer or head."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.callbacks.bands import BandConfig
from omni.callbacks.divergence import DivergenceError
from omni.callbacks.drift import DriftAlarms
from omni.callbacks.guards import Guards
from omni.callbacks.router import RouterTelemetry
from omni.model import OmniTransformer
from tests.callbacks.watched_run import BeforeStep, Kept, watched
from tests.ranks import run_two_ranks
from tests.tiny_run import OPTIM, STEPS, AfterStep, fit, weights, write_corpus
from tests.training.test_resume import lopsided, state, stop

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

HEALTHY, EVERY = 300, 5
STEADY = replace(OPTIM, schedule="constant")
EAGER = BandConfig(window=4, settle_steps=0)
BAND = BandConfig(settle_steps=100)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def alarms(run: Callable[[], Any]) -> list[str]:
    """Messages of the alarms while ``run`` runs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(one.message) for one in caught if "drift alarm" in str(one.message)]


@pytest.fixture(scope="module")
def healthy(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Checkpoint and alarms of a run in which nothing is wrong."""
    out = tmp_path_factory.mktemp("healthy")
    callbacks = [DriftAlarms(EVERY, band=BAND), Guards()]
    run = partial(fit, corpus, out, max_steps=HEALTHY, optim=STEADY, callbacks=callbacks, save_every=HEALTHY)
    told = alarms(run)
    return out / "last.ckpt", told


def test_a_healthy_run_raises_no_alarm_and_skips_no_step(healthy: tuple[Path, list[str]]) -> None:
    checkpoint, told = healthy
    assert told == []
    callbacks = state(checkpoint)["callbacks"]
    bands = callbacks["DriftAlarms"]["bands"]
    assert len(bands) == 3 + 3 + 2 * 3 + 5
    assert all(band["judged"] and not band["alarmed"] for band in bands.values())
    assert callbacks["Guards"]["skipped"] == []


def swollen(matrix: Callable[[OmniTransformer], torch.Tensor], factor: float) -> BeforeStep:
    """Before each step behind the healthy ones, a matrix grows."""
    return BeforeStep(HEALTHY + 1, lambda model: matrix(model).mul_(factor))


@pytest.mark.parametrize(
    ("matrix", "named", "calm"),
    [
        (lambda model: model.audio_head.logits, ["the audio head", "loss of audio"], ["image", "of text"]),
        (
            lambda model: model.embed.patch.weight,
            ["hidden norm of image positions behind layer 1"],
            ["of text positions", "of audio positions", "the text head", "the audio head"],
        ),
        (lambda model: model.blocks[1].attention.out.weight, ["behind layer 2"], ["layer 1"]),
    ],
    ids=["a head", "a modality", "a layer"],
)
def test_what_diverges_is_named(
    corpus: Path,
    healthy: tuple[Path, list[str]],
    tmp_path: Path,
    matrix: Callable[[OmniTransformer], torch.Tensor],
    named: list[str],
    calm: list[str],
) -> None:
    callbacks = [swollen(matrix, 1.4), DriftAlarms(EVERY, band=BAND)]
    steps = HEALTHY + 4 * EVERY
    told = alarms(
        partial(fit, corpus, tmp_path, max_steps=steps, optim=STEADY, callbacks=callbacks, resume=healthy[0])
    )
    assert told, "no alarm"
    assert told[0].startswith(f"drift alarm, at step {HEALTHY + 2 * EVERY}: ")
    assert all(any(name in message for message in told) for name in named), told
    assert not any(name in told[0] for name in calm), told
    assert all(message.count(" is ") == message.count("outside its band up to") for message in told)


def test_a_figure_that_is_no_number_is_an_alarm_at_once(corpus: Path, tmp_path: Path) -> None:
    """Although the run has not settled."""
    broken = BeforeStep(3, lambda model: model.audio_head.logits.fill_(torch.nan))
    told = alarms(partial(fit, corpus, tmp_path, callbacks=[broken, DriftAlarms(1)]))
    assert told[0].startswith("drift alarm, at step 3: loss of audio is nan; ")
    assert not any("the loss of audio" in message for message in told[1:])


def test_stop_ends_the_run_before_the_step_is_saved(corpus: Path, tmp_path: Path) -> None:
    broken = BeforeStep(4, lambda model: model.norm.weight.fill_(torch.nan))
    with pytest.raises(DivergenceError, match=r"at step 4: loss of text is nan;.* Go on from a checkpoint"):
        fit(corpus, tmp_path, callbacks=[broken, DriftAlarms(2, action="stop")])
    assert not (tmp_path / "last.ckpt").exists(), "step 4 is the first to be saved"


def test_what_is_looked_at_is_trained_as_if_it_were_not(corpus: Path, tmp_path: Path) -> None:
    """To the last bit: gradients are measured and clipped in one pass, and nothing random is drawn."""
    watching = [RouterTelemetry(1), DriftAlarms(1)]
    plain, seen = (weights(fit(corpus, tmp_path, callbacks=callbacks)) for callbacks in ([], watching))
    assert all(torch.equal(plain[name], seen[name]) for name in plain)


def test_a_resumed_run_has_the_bands_of_an_uninterrupted_one(corpus: Path, tmp_path: Path) -> None:
    whole, first, second = (DriftAlarms(1, band=EAGER) for _ in range(3))
    fit(corpus, tmp_path / "whole", callbacks=[whole])
    fit(corpus, tmp_path / "parts", callbacks=[first, AfterStep(4, stop)])
    fit(corpus, tmp_path / "rest", callbacks=[second], resume=tmp_path / "parts" / "last.ckpt")
    assert len(whole.state_dict()["bands"]["loss/text"]["recent"]) == 4
    assert whole.state_dict() == second.state_dict() != first.state_dict()


def test_series_are_of_the_whole_step(corpus: Path) -> None:
    """Whatever batches it is made of."""
    whole = watched(corpus)
    assert_close(watched(corpus, batch_rows=1), whole)
    assert {"drift/loss/audio", "drift/gradient/stack", "drift/hidden/layer_2/image", "drift/alarms"} <= set(
        whole[0]
    )
    assert 0 < whole[0]["router/text_entropy"] < 1
    assert whole[0]["router/bias_drift"] == pytest.approx(1.0), "a step can only go all the way"
    assert whole[0]["drift/gradient/embed"] > 0


def test_two_ranks_log_what_one_does(tmp_path: Path) -> None:
    """Also where a rank has text alone, and without waiting for ever."""
    corpus = write_corpus(tmp_path, lopsided())
    run_two_ranks("tests.callbacks.watched_run", corpus)
    got = json.loads((corpus / "rank-0.json").read_text())
    assert_close({int(step): found for step, found in got.items()}, watched(corpus))


def assert_close(one: dict[int, dict[str, float]], other: dict[int, dict[str, float]]) -> None:
    assert one.keys() == other.keys() == {0, 1, 2}
    for step, found in one.items():
        spread = {
            name for name in found if name.startswith("drift/output")
        }  # a sample of each batch's positions
        assert found.keys() == other[step].keys()
        for name in found.keys() - spread:
            assert found[name] == pytest.approx(other[step][name], rel=1e-4, abs=1e-6), (step, name)


def test_steps_between_looks_have_no_hooks(corpus: Path, tmp_path: Path) -> None:
    hooked: list[bool] = []
    note = BeforeStep(1, lambda model: hooked.append(bool(model.blocks[0]._forward_hooks)))
    kept = Kept()
    fit(corpus, tmp_path, callbacks=[DriftAlarms(4), RouterTelemetry(4), note], logger=kept)
    assert hooked == [step % 4 == 0 for step in range(1, STEPS + 1)]
    assert sorted(step for step, found in kept.steps.items() if "drift/alarms" in found) == [3, 7]
