"""``omni fit`` on two processes, with a config of ``configs/parallel`` behind an experiment."""

from __future__ import annotations

import csv
from pathlib import Path

from omni.checkpoint import load_model
from omni.losses import loss_names
from tests.ranks import run_two_ranks
from tests.tiny_run import write_corpus

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_demo_trains_on_two_processes_that_share_the_experts(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    run_two_ranks(
        "omni",
        "fit",
        *("--config", CONFIGS / "experiment" / "demo.yaml"),
        *("--config", CONFIGS / "parallel" / "demo-2-cpus.yaml"),
        *("--data.tokenizers", corpus / "tokenizers"),
        *("--data.train", corpus / "train", "--data.val", corpus / "train", "--data.val_rows", "8"),
        *("--trainer.default_root_dir", tmp_path / "run", "--trainer.max_steps", "3"),
        *("--trainer.val_check_interval", "2", "--trainer.log_every_n_steps", "1"),
        *("--trainer.enable_progress_bar", "false", "--data.cache", "false"),
        *("--router_telemetry.every_n_steps", "2", "--drift_alarms.every_n_steps", "1"),
    )
    model, _ = load_model(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert model.config.width == 128 and model.get_parameter("blocks.0.moe.experts.w13").shape[0] == 16
    (log,) = (tmp_path / "run").rglob("metrics.csv")
    rows = list(csv.DictReader(log.open()))
    logged = {name for row in rows for name, value in row.items() if value}
    for name in loss_names():
        assert {f"train/{name}", f"val/{name}", f"router/{name}_max_over_mean"} <= logged
    assert {"drift/gradient/stack", "drift/gradient/text_head"} & logged
