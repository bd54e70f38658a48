"""Matched budgets: steps that cost the same, by counted FLOPs, tokens or active parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni.ablation.budget import PlannedRun, Sized, check_spreads, plan_runs, spreads
from omni.ablation.census import Census, census_of
from omni.ablation.expand import Part, runs_of
from omni.ablation.study import Study
from omni.nn.config import ModelConfig, Vocabulary
from omni.planning.flops import flops_of
from omni.planning.workload import Learnt
from tests.ablation.test_study_file import study

VOCABULARY = Vocabulary(text=330, patch_values=16, max_grid=8, codebooks=3, codebook_size=16)
CENSUS = Census(
    documents=100,
    positions={"text": 3000, "image": 800, "audio": 200},
    targets={"text": 600, "image": 200, "audio": 150},
    squares=4000 * 50,
    picture=8,
    clip=10,
    fill=0.95,
)


def sized(part: Part) -> Sized:
    width = part.config["model"]["network"]["width"]
    return Sized(ModelConfig(width=width, layers=2, heads=4, kv_heads=2), VOCABULARY, CENSUS, 256, 8)


def planned(tmp_path: Path, **changes: Any) -> tuple[Study, list[PlannedRun]]:
    one = study(tmp_path, baseline="b", **changes)
    return one, plan_runs(one, runs_of(one), sized)


def test_flops_are_those_of_the_planner_on_the_data(tmp_path: Path) -> None:
    """A step of 8 rows of 256, 95 % full; documents are such that a position looks at (50 + 1) / 2 keys."""
    part = Part("", 1.0, {"model": {"network": {"width": 64}}})
    found = sized(part)
    workload = CENSUS.workload(256, 8)
    assert (workload.attended, workload.mix.text, workload.learnt.image) == (50, 0.75, 0.25)
    assert found.tokens_per_step == pytest.approx(8 * 256 * 0.95)
    assert found.flops_per_step == pytest.approx(
        8 * 256 * 0.95 * flops_of(found.config, VOCABULARY, workload).training
    )
    all_learnt = replace(workload, learnt=Learnt())
    assert found.flops_per_token < 0.6 * flops_of(found.config, VOCABULARY, all_learnt).training


def test_the_narrow_variant_takes_more_steps_for_the_same_flops(tmp_path: Path) -> None:
    one, runs = planned(tmp_path, budget={"steps": 1000})
    narrow, wide = runs
    assert wide.steps == 1000
    assert narrow.steps > 1100
    assert narrow.flops == pytest.approx(wide.flops, rel=1e-3)
    (spread,) = spreads(one, runs)
    assert spread.figure == "training FLOPs"
    assert spread.share == pytest.approx(max(narrow.flops, wide.flops) / min(narrow.flops, wide.flops) - 1)
    check_spreads(one, [spread], 0.02)


def test_matched_tokens_are_the_same_steps(tmp_path: Path) -> None:
    one, runs = planned(tmp_path, budget={"match": "tokens", "tokens": 194560})
    assert [run.steps for run in runs] == [100, 100]
    assert runs[0].tokens == pytest.approx(194560)
    assert [spread.share for spread in spreads(one, runs)] == [0]


def test_active_parameters_that_differ_are_refused(tmp_path: Path) -> None:
    one, runs = planned(tmp_path, budget={"match": "active_parameters", "steps": 10})
    with pytest.raises(
        ValueError, match=r"active parameters differ by .*: a has .*, b .*, allowed are 2\.0%"
    ):
        check_spreads(one, spreads(one, runs), one.budget.tolerance)


def test_steps_that_a_variant_sets_are_kept_and_refused_unless_told(tmp_path: Path) -> None:
    variants = {"a": {"set": {"trainer.max_steps": 103}}, "b": {}}
    network = {"model.network.width": 64}
    one, runs = planned(tmp_path, variants=variants, budget={"steps": 100}, sizes={"s": {"set": network}})
    assert [run.steps for run in runs] == [103, 100]
    found = spreads(one, runs)
    with pytest.raises(ValueError, match=r"training FLOPs at size s differ by 3\.0%"):
        check_spreads(one, found, 0.02)
    check_spreads(one, found, 0.031)


def test_sizes_have_budgets_of_their_own(tmp_path: Path) -> None:
    sizes = {
        "s": {"set": {"model.network.width": 32}, "steps": 10},
        "m": {"set": {"model.network.width": 64}, "steps": 20},
    }
    one, runs = planned(tmp_path, variants={"a": {}, "b": {}}, sizes=sizes)
    assert [(run.run.size.name, run.steps) for run in runs] == [("s", 10), ("s", 10), ("m", 20), ("m", 20)]
    assert [spread.size for spread in spreads(one, runs)] == ["s", "m"]


def test_a_cascade_shares_one_budget(tmp_path: Path) -> None:
    stages = {"text_to_text": {"share": 0.75}, "audio_to_text": {"share": 0.25}}
    _, runs = planned(tmp_path, variants={"b": {}, "c": {"stages": stages}}, budget={"steps": 1000})
    assert [part.steps for part in runs[1].parts] == [750, 250]
    assert runs[1].flops == pytest.approx(runs[0].flops, rel=1e-3)
    assert runs[1].parameters == 2 * runs[0].parameters


def test_a_stated_census_is_checked() -> None:
    stated = CENSUS.as_json()
    assert census_of(stated, "study.yaml") == CENSUS
    with pytest.raises(ValueError, match=r"study.yaml: fill missing"):
        census_of({key: value for key, value in stated.items() if key != "fill"}, "study.yaml")
    with pytest.raises(ValueError, match=r"positions must have text, image, audio"):
        census_of(stated | {"positions": {"text": 1}}, "study.yaml")
    with pytest.raises(ValueError, match=r"fill must be in \(0, 1\]"):
        census_of(stated | {"fill": 1.5}, "study.yaml")


def test_all_clips_learnt_have_more_targets_than_frames() -> None:
    targets = {"text": 600, "image": 200, "audio": 210}
    assert replace(CENSUS, targets=targets).workload(256, 8).learnt.audio == 1.0
