"""``omni ablate`` on tiny models: the plan, what is refused, and a whole study with its report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from omni.cli.ablate import study_run
from omni.cli.main import main
from tests.cli.ablate.tiny_study import STEPS, run_here, write_study

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return folder


def planned(folder: Path, *arguments: str) -> dict[str, Any]:
    assert (
        main(
            [
                "ablate",
                str(folder / "study.yaml"),
                "--dry-run",
                "--json",
                str(folder / "plan.json"),
                *arguments,
            ]
        )
        == 0
    )
    found: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    return found


def test_a_dry_run_gives_every_run_its_steps_and_trains_nothing(folder: Path) -> None:
    plan = planned(folder)
    assert [(run["variant"], run["seed"]) for run in plan["runs"]] == [
        ("dense", 0),
        ("four", 0),
        ("dense", 1),
        ("four", 1),
    ]
    dense, four = plan["runs"][:2]
    assert dense["steps"] == STEPS
    assert four["parameters"] > dense["parameters"]
    assert plan["spreads"][0]["share"] == pytest.approx(
        max(dense["flops"], four["flops"]) / min(dense["flops"], four["flops"]) - 1
    )
    assert not (folder / "runs").exists()


def test_budgets_that_are_apart_are_refused_behind_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uneven = ["--set", "variants={dense: {}, long: {set: {trainer.max_steps: 5}}}", "--set", "baseline=dense"]
    arguments = ["ablate", str(folder / "study.yaml"), "--dry-run", *uneven, "--tolerance", "0.02"]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert "long" in out
    assert "training FLOPs differ by 25.0%: dense has" in err
    assert main([*arguments[:-1], "0.3"]) == 0


def test_a_misspelt_config_key_is_named_before_anything_is_trained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "variants={dense: {}, typo: {set: {model.network.moe.expert: 2}}}"
    assert main(["ablate", str(folder / "study.yaml"), "--dry-run", "--set", wrong]) == 2
    said = capsys.readouterr().err
    assert "model.network.moe.expert" in said
    assert "did you mean 'model.network.moe.experts'" in said


def test_one_command_for_each_run(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "commands.txt"
    out = ["--out", str(tmp_path / "out")]
    assert main(["ablate", str(folder / "study.yaml"), *out, "--commands", str(file)]) == 0
    lines = file.read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [
        "dense-seed0",
        "four-seed0",
        "dense-seed1",
        "four-seed1",
    ]
    assert all(line.startswith(f"omni ablate {folder / 'study.yaml'} --out") for line in lines)


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which one variant fails: its config can't be trained with."""
    out = tmp_path_factory.mktemp("out")
    study = yaml.safe_load((folder / "study.yaml").read_text())
    study["seeds"] = [0]
    study["measure"] = {"limit": 1, "resamples": 100, "latency": 0, "rounds": 1, "samples": 0}
    study["variants"]["broken"] = {"set": {"data.batch_rows": 3}}
    path = folder / "failing.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_run, "run_jobs", run_here)
        assert main(["ablate", str(path), "--out", str(out)]) == 0
    return out


def test_a_study_ends_with_its_figures(finished: Path) -> None:
    found = json.loads((finished / "study.json").read_text())
    states = {run["name"]: run["state"] for run in found["runs"]}
    assert states == {"dense-seed0": "done", "four-seed0": "done", "broken-seed0": "failed"}
    compared = {one["figure"]: one for one in found["differences"]}
    assert {one["variant"] for one in compared.values()} == {"four"}
    loss = compared["all_text_loss"]
    assert loss["difference"] == pytest.approx(loss["value"] - loss["baseline_value"])
    assert loss["low"] <= loss["difference"] <= loss["high"]
    assert loss["seeds"] == 1
    assert "With one seed this says nothing about other seeds." in loss["reading"]
    assert {"image_to_text_exact", "all_image_loss", "all_audio_loss"} <= compared.keys()
    for run in found["runs"][:2]:
        assert run["tokens_logged"] == pytest.approx(run["tokens"], rel=0.1)
    assert set(found["costs"]) == {"dense", "four"}
    assert set(found["router_load"]) == {"four"}
    with (finished / "differences.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["differences"])


def test_all_variants_of_a_seed_saw_the_same_order(finished: Path) -> None:
    orders = json.loads((finished / "study.json").read_text())["order"]
    assert set(orders) == {"seed0"}
    for check in orders.values():
        assert check["same"]
        assert check["same_rows"]
        assert check["windows"] > 1


def test_the_report_shows_the_failed_run_and_loads_nothing(finished: Path) -> None:
    page = (finished / "study.html").read_text()
    for part in (
        "broken-seed0: failed",
        "Do four experts help?",
        "all_text_loss",
        "two of four experts",
        "2 of 3",
    ):
        assert part in page, part
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert page.count("<svg") > 10


def test_results_are_not_overwritten_and_finished_runs_are_kept(
    finished: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["ablate", str(folder / "failing.yaml"), "--out", str(finished)]
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    begun: list[str] = []
    monkeypatch.setattr(
        study_run, "run_jobs", lambda jobs, *_: begun.extend(j.name for j in jobs if not j.done)
    )
    monkeypatch.setattr("omni.cli.ablate.results_stage.write_results", lambda *_: None)
    assert main([*arguments, "--resume"]) == 0
    assert begun == ["broken-seed0"]
    assert main([*arguments, "--resume", "--set", "budget.steps=9"]) == 2
    assert "was begun with other values under trainer" in capsys.readouterr().err
