"""``omni plan``: tables, JSON, the commands that the configs name, and what it refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from omni.cli.main import main
from tests.tiny import tiny_tokenizers

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs" / "model" / "10m.yaml")


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status = main(["plan", *arguments, "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["plan", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("omni: error: ")


def command(path: Path) -> list[str]:
    line = next(line for line in path.read_text().splitlines() if line.startswith("# Command:"))
    return shlex.split(line.removeprefix("# Command:"))


PLANNED = [path for path in (ROOT / "configs").rglob("*.yaml") if command(path)[:2] == ["omni", "plan"]]


@pytest.mark.parametrize("path", PLANNED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_command_of_a_config_plans_it_and_it_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    figures = planned(capsys, *command(path)[2:])
    assert ROOT / figures["config"] == path
    assert figures["fits"], figures["memory_per_gpu"]
    assert figures["parameters"]["active"] <= figures["parameters"]["total"]


def test_json_goes_to_a_file_beside_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plan.json"
    arguments = ["--gpus", "4", "--mesh", "dp=4", "--tokens", "2e8", "--json", str(out)]
    assert main(["plan", CONFIG, *arguments]) == 0
    shown = capsys.readouterr().out
    for word in ("experts", "activations", "tokens/s a GPU", "GPU-hours", "Chinchilla"):
        assert word in shown
    figures = json.loads(out.read_text())
    assert figures["parameters"]["total"] == sum(figures["parameters"]["parts"].values())
    assert figures["mesh"] == {"dp": 4, "ep": 1, "tp": 1, "pp": 1, "cp": 1}
    assert figures["budget"]["tokens"] == 2e8
    assert figures["memory_per_gpu"]["total"] < figures["memory_per_gpu"]["usable"]


def test_what_does_not_fit_says_so_and_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(ROOT / "configs" / "model" / "30b-a3b.yaml")
    assert main(["plan", config, "--gpus", "8", "--rows", "8"]) == 0
    assert "Does not fit" in (shown := capsys.readouterr().out)
    assert "--checkpointing block" in shown


def test_sizes_of_a_vocabulary_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = planned(capsys, CONFIG, "--vocabulary", "text=1000,codebooks=2")
    assert figures["vocabulary"]["text"] == 1000
    assert figures["vocabulary"]["codebooks"] == 2
    tiny_tokenizers().save(tmp_path)
    taken = planned(capsys, CONFIG, "--tokenizers", str(tmp_path))
    assert taken["vocabulary"]["patch_values"] == 16
    assert taken["parameters"]["total"] < figures["parameters"]["total"]


def test_an_experiment_brings_rows_and_the_command_line_wins(capsys: pytest.CaptureFixture[str]) -> None:
    demo = str(ROOT / "configs" / "experiment" / "demo.yaml")
    assert planned(capsys, demo)["workload"]["length"] == 256
    assert planned(capsys, demo, "--length", "512")["workload"]["length"] == 512
    mixed = planned(capsys, demo, "--mix", "text=0.5,image=0.5")["flops_per_token"]["parts"]
    assert mixed["image_head"] > 0


def test_encoders_read_what_is_not_learnt(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(ROOT / "configs" / "model" / "encoder.yaml")
    mix = ("--mix", "text=0.5,image=0.5", "--picture", "16")
    half, more = (planned(capsys, config, *mix, *given) for given in ((), ("--learnt", "image=0.25")))
    assert half["workload"]["learnt"] == {"text": 1.0, "image": 0.5, "audio": 0.5}
    assert more["flops_per_token"]["parts"]["image_tower"] == pytest.approx(
        1.5 * half["flops_per_token"]["parts"]["image_tower"]
    )
    assert half["parameters"]["parts"]["image_tower"] > 300_000
    assert half["flops_per_token"]["parts"]["audio_tower"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mesh", "dp=3"], "--mesh dp=3 multiplies to 3, but --gpus is 8; say dp=8"),
        (["--mesh", "ep=8", "--gpus", "8"], None),
        (["--gpus", "24", "--mesh", "ep=24"], "ep=24 must divide model.network.moe.experts = 8"),
        (["--gpu", "h100_80gb"], "did you mean 'h100-80gb'"),
        (["--gpus", "0"], "--gpus must be at least 1, got 0"),
        (["--mix", "text=0.5,video=0.5"], "unknown name 'video', expected some of text, image, audio"),
        (["--mix", "text=half"], "text must be a number, got 'half'"),
        (["--vocabulary", "text=-1"], "text must not be negative"),
        (["--tokens", "0"], "--tokens must be positive"),
        (["--length", "0"], "--length must be at least 1"),
    ],
)
def test_what_cannot_work_is_one_line_with_the_fix(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str | None
) -> None:
    if said is None:
        assert planned(capsys, CONFIG, *arguments)["mesh"]["ep"] == 8
    else:
        assert said in refused(capsys, CONFIG, *arguments)


def test_a_missing_config_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "nowhere.yaml") == "nowhere.yaml: no such config file"
