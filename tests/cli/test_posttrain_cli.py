"""From a run's shards to demonstrations and pairs, and through the stages that learn from them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from omni.checkpoint import load_model
from omni.cli.lightning_cli import OmniCLI
from omni.cli.main import main
from omni.cli.stages import STAGES, stage_of
from omni.datamodules.shards.reader import ShardReader
from omni.training.dpo import Dpo
from omni.training.pretrain import Pretrain
from omni.training.reward import RewardTraining, load_reward_model
from tests.tiny import tiny_documents
from tests.tiny_run import write_corpus, write_measured

CONFIGS = Path(__file__).parents[2] / "configs" / "experiment"
SMALL = ("--model.network.width", "32", "--model.network.layers", "1", "--model.network.heads", "4")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `omni demo` leaves it, with the data of `omni posttrain-data` and a checkpoint."""
    folder = write_corpus(tmp_path_factory.mktemp("demo") / "runs" / "demo")
    for part, seed in (("train", 0), ("heldout", 1)):
        write_measured(tiny_documents(40, seed), folder / "shards" / part, folder / "tokenizers")
    made = ["posttrain-data", str(folder), "--wrong", "0.45", "--per-source", "4"]
    assert main([*made, "--json", str(folder / "made.json")]) == 0
    return folder


def fit(demo: Path, config: str, data: str, *arguments: str) -> OmniCLI:
    """One of the demo's configs on the tiny data."""
    return OmniCLI.from_arguments(
        [
            *("fit", "--config", str(CONFIGS / f"{config}.yaml"), *SMALL),
            *("--data.tokenizers", str(demo / "tokenizers")),
            *("--data.train", str(demo / "posttrain" / data / "train")),
            *("--data.val", str(demo / "posttrain" / data / "heldout")),
            *("--data.plan.row_length", "512", "--data.val_rows", "8"),
            *("--trainer.default_root_dir", str(demo / config), "--trainer.max_steps", "2"),
            *("--trainer.val_check_interval", "2", "--trainer.log_every_n_steps", "1"),
            *("--trainer.logger.class_path", "lightning.pytorch.loggers.CSVLogger"),
            *("--trainer.logger.init_args.save_dir", str(demo / config)),
            *("--router_telemetry.every_n_steps", "2", "--drift_alarms.every_n_steps", "1"),
            *arguments,
        ]
    )


def logged(demo: Path, config: str) -> set[str]:
    (log,) = (demo / config).rglob("metrics.csv")
    with log.open() as lines:
        return set(next(csv.reader(lines)))


def test_demonstrations_and_pairs_are_written(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "heldout"):
        demonstrations = ShardReader(demo / "posttrain" / "demonstrations" / part)
        pairs = ShardReader(demo / "posttrain" / "pairs" / part)
        assert len(pairs) == 2 * len(demonstrations) > 0
        told = json.loads((demo / "made.json").read_text())[part]
        assert told["demonstrations"] == len(demonstrations)
        assert all(index.layout for index in (*demonstrations.indexes, *pairs.indexes)), "measured"
    assert main(["posttrain-data", str(demo), "--wrong", "2"]) == 2
    assert "--wrong is a share, expected 0 to 1, got 2" in capsys.readouterr().err
    assert main(["posttrain-data", str(demo / "nowhere")]) == 2


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_demos_configs_run_one_after_another(demo: Path) -> None:
    start = demo / "demo_sft" / "checkpoints" / "last.ckpt"
    first = fit(demo, "demo_sft", "demonstrations", "--model.init_from", "null")
    assert type(first.model) is Pretrain
    load_model(start)
    again = ("--model.init_from", str(start))
    reward, dpo = (fit(demo, name, "pairs", *again) for name in ("demo_reward", "demo_dpo"))
    assert isinstance(reward.model, RewardTraining) and isinstance(dpo.model, Dpo)
    load_reward_model(demo / "demo_reward" / "checkpoints" / "last.ckpt")
    load_model(demo / "demo_dpo" / "checkpoints" / "last.ckpt")
    assert {"accuracy", "margin", "min_reward", "mean_reward", "max_reward", "val/accuracy"} <= logged(
        demo, "demo_reward"
    )
    names = {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen"}
    assert names | {f"val/{name}/audio" for name in names} <= logged(demo, "demo_dpo")
    assert "drift/loss/image" in logged(demo, "demo_dpo")


def test_the_stage_is_the_last_one_named(tmp_path: Path) -> None:
    config = tmp_path / "x.yaml"
    config.write_text("stage: dpo\n")
    other = tmp_path / "y.yaml"
    other.write_text("data: {}\n")
    named: list[tuple[list[str], str]] = [
        (["fit"], "pretrain"),
        (["fit", "--config", str(config)], "dpo"),
        (["fit", f"--config={config}", "--config", str(other)], "dpo"),
        (["fit", "--config", str(config), "--stage", "reward"], "reward"),
        (["fit", "--stage=reward", "--config", str(config)], "dpo"),
        (["fit", "--config", "nowhere.yaml"], "pretrain"),
    ]
    for arguments, name in named:
        assert stage_of(arguments) is STAGES[name], arguments
    with pytest.raises(ValueError, match="stage 'sft': expected one of pretrain, reward, dpo"):
        stage_of(["fit", "--stage", "sft"])


@pytest.mark.parametrize("name", ["demo_reward", "demo_dpo"])
def test_a_stage_that_needs_a_start_says_so(demo: Path, name: str) -> None:
    run: Callable[[], OmniCLI] = lambda: fit(demo, name, "pairs", "--model.init_from", "null")  # noqa: E731
    with pytest.raises(ValueError, match=r"model\.init_from is missing"):
        run()
