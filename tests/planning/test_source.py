"""What is read from a model config and from an experiment, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.nn.config import ModelConfig
from omni.planning.source import read_source

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_model_config() -> None:
    source = read_source(CONFIGS / "model" / "demo.yaml")
    assert source.config.width == 128
    assert (source.workload, source.tokenizers) == ({}, None)


def test_an_experiment_brings_its_rows() -> None:
    source = read_source(CONFIGS / "experiment" / "demo.yaml")
    assert source.config.width == 128
    assert source.workload == {"length": 256, "rows": 8}
    assert source.tokenizers == Path("runs/demo/tokenizers")


def test_a_network_may_stand_in_the_experiment(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "model:\n  network:\n    width: 64\n    heads: 4\ntrainer:\n  accumulate_grad_batches: 3\n"
    )
    source = read_source(path)
    assert source.config == ModelConfig(width=64, heads=4)
    assert source.workload == {"accumulate": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width: wide\n", "wide"),
        ("widht: 64\n", "widht"),
        (
            "width: 100\nheads: 8\n",
            "model.network.width must be a multiple of model.network.heads, got 100 and 8",
        ),
        ("moe:\n  experts: 2\n  top_k: 4\n", "top_k"),
        ("- 1\n", "expected keys of a model config"),
        ("width: [\n", "not YAML"),
        ("model:\n  optim: {}\n", "network must be a mapping or the path of a YAML file, got None"),
        ("model:\n  network: nowhere.yaml\n", "nowhere.yaml: no such config file"),
    ],
)
def test_a_config_that_cannot_work_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(tmp_path)) as refused:
        read_source(path)
    assert said in str(refused.value)
