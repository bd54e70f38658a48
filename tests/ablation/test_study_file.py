"""A study's file: what it expands to, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from omni.ablation.expand import runs_of
from omni.ablation.study import Study
from omni.ablation.study_file import parse_changes, read_study

BASE: dict[str, Any] = {
    "config": "fit.yaml",
    "variants": {"a": {"set": {"model.network.width": 32}}, "b": {}},
    "budget": {"steps": 10},
    "data": {"tokenizers": "t", "train": "s", "heldout": "h"},
}
FIT = {"model": {"network": "net.yaml"}, "trainer": {"accelerator": "cpu"}}


def study(tmp_path: Path, **changes: Any) -> Study:
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(FIT))
    (tmp_path / "net.yaml").write_text("width: 64\nmoe:\n  experts: 4\n")
    path = tmp_path / "study.yaml"
    values = {**BASE, **changes}
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}, sort_keys=False))
    return read_study(path)


def test_runs_are_variants_by_sizes_by_seeds_seed_by_seed(tmp_path: Path) -> None:
    one = study(tmp_path, seeds=[0, 7], sizes={"s": {"set": {"model.network.moe.experts": 2}}, "m": None})
    names = [run.name for run in runs_of(one)]
    assert names == [
        *("a-s-seed0", "b-s-seed0", "a-m-seed0", "b-m-seed0"),
        *("a-s-seed7", "b-s-seed7", "a-m-seed7", "b-m-seed7"),
    ]


def test_a_variant_changes_the_config_and_the_files_that_it_names(tmp_path: Path) -> None:
    configs = {run.name: run.parts[0].config for run in runs_of(study(tmp_path))}
    assert configs["a-seed0"]["model"]["network"] == {"width": 32, "moe": {"experts": 4}}
    assert configs["b-seed0"]["model"]["network"] == {"width": 64, "moe": {"experts": 4}}


def test_swept_keys_are_variants_of_every_combination(tmp_path: Path) -> None:
    sweep = {"model.network.moe.experts": [1, 4], "model.network.width": [32]}
    alone = study(tmp_path, variants=None, sweep=sweep)
    assert [variant.name for variant in alone.variants] == ["experts=1,width=32", "experts=4,width=32"]
    assert runs_of(alone)[1].parts[0].config["model"]["network"] == {"width": 32, "moe": {"experts": 4}}
    both = study(tmp_path, sweep={"model.network.moe.experts": [1, 4]})
    assert [variant.name for variant in both.variants] == [
        "a,experts=1",
        "a,experts=4",
        "b,experts=1",
        "b,experts=4",
    ]
    assert both.baseline == "a,experts=1"


def test_a_cascade_has_a_part_for_each_stage(tmp_path: Path) -> None:
    stages = {
        "text_to_text": {"share": 0.75},
        "audio_to_text": {"share": 0.25, "set": {"model.network.width": 16}},
    }
    one = study(
        tmp_path, variants={"b": {}, "cascade": {"stages": stages, "set": {"model.network.width": 8}}}
    )
    parts = runs_of(one)[1].parts
    assert [(part.name, part.share, part.config["model"]["network"]["width"]) for part in parts] == [
        ("text_to_text", 0.75, 8),
        ("audio_to_text", 0.25, 16),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budgett": {}}, "unknown key 'budgett'; did you mean 'budget'?"),
        ({"budget": {"step": 10}}, "budget: unknown key 'step'; did you mean 'steps'?"),
        ({"budget": {"match": "flop", "steps": 1}}, "budget.match: got 'flop', expected one of flops"),
        ({"budget": {}}, "give the amount once, as steps (of the baseline), flops or tokens; got none"),
        ({"budget": {"steps": 1, "flops": 1e9}}, "got steps, flops"),
        ({"budget": {"steps": 0}}, "budget.steps must be positive, got 0"),
        ({"budget": {"steps": "many"}}, "budget.steps must be int, got 'many'"),
        ({"baseline": "c"}, "baseline: got 'c', expected one of a, b"),
        ({"seeds": [0, 0]}, "seeds must differ, got [0, 0]"),
        ({"seeds": ["one"]}, "seeds must be a list of whole numbers"),
        ({"variants": {"a": {"sets": {}}}}, "variants.a: unknown key 'sets'; did you mean 'set'?"),
        ({"variants": None}, "give variants (a mapping by name) or sweep"),
        ({"sweep": {"model.network.width": 3}}, "sweep.model.network.width must be a list of values, got 3"),
        (
            {"data": {"train": "s"}},
            "give either demo (the study makes the data) or all of tokenizers, train, heldout",
        ),
        ({"data": {"demo": {"scal": 1}}}, "data.demo: unknown key 'scal'; did you mean 'scale'?"),
        ({"data": {**BASE["data"], "folder": "x"}}, "data.folder must be left out: it goes with data.demo"),
        ({"variants": {"a": {"stages": {"x": {"share": 0.5}}}}}, "shares must sum to 1, got 0.5"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as error:
        study(tmp_path, **changes)
    assert said in str(error.value)
    assert "study.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("key", "instead"),
    [("seed_everything", "use seeds"), ("data.train", "use data.train of the study")],
)
def test_what_belongs_to_the_study_is_not_set_by_a_variant(tmp_path: Path, key: str, instead: str) -> None:
    one = study(tmp_path, variants={"a": {"set": {key: 3}}, "b": {}})
    with pytest.raises(ValueError, match=f"variants.a: {key} is set by the study: {instead}"):
        runs_of(one)


def test_values_can_be_changed_on_the_command_line(tmp_path: Path) -> None:
    study(tmp_path)
    changes = parse_changes(["budget.steps=3", "seeds=[4, 5]", "measure.limit=2"])
    one = read_study(tmp_path / "study.yaml", changes)
    assert (one.budget.steps, one.seeds, one.measure.limit) == (3, (4, 5), 2)
    with pytest.raises(ValueError, match="expected KEY=VALUE"):
        parse_changes(["budget.steps"])


def test_a_flops_budget_may_be_written_without_a_dot(tmp_path: Path) -> None:
    (tmp_path / "budget.yaml").write_text("flops: 1e12")
    one = study(tmp_path, budget=yaml.safe_load("flops: 1e12"))
    assert one.budget.flops == 1e12
