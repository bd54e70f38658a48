"""Configs that can't work, as a user of ``omni fit`` sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.cli.main import main
from tests.tiny import tiny_tokenizers

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tokenizers; there is no data."""
    folder = tmp_path_factory.mktemp("tokenizers")
    tiny_tokenizers().save(folder)
    return folder


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("model.network.moe.top_k", "99", "top_k must be in 1..model.network.moe.experts = 1..16, got 99"),
        (
            "model.network.moe",
            "{routing: grouped, groups: {text: 8, image: 4}}",
            "model.network.moe.groups must add up to model.network.moe.experts = 16, "
            "got shared 0 + text 8 + image 4 + audio 0 = 12",
        ),
        (
            "model.network.moe.expert_width",
            "60",
            "expert_width must be a multiple of 8 for grouped matmul, got 60",
        ),
        ("model.network.heads", "3", "width must be a multiple of model.network.heads, got 128 and 3"),
        ("model.network.kv_heads", "3", "heads must be a multiple of model.network.kv_heads, got 4 and 3"),
        ("model.network.heads", "32", "must be even and at least 6 (three rotary axes), got 4"),
        (
            "model.network.init.method",
            "mup",
            "text.tied must be false with model.network.init.method mup, got true",
        ),
        ("model.network.layers", "-1", "model.network.layers must be at least 1, got -1"),
        ("model.optim.lr", "0", "model.optim.lr must be positive, got 0"),
        ("data.batch_rows", "0", "data.batch_rows must be at least 1, got 0"),
        ("data.workers", "-1", "data.workers must be at least 0, got -1"),
        ("data.max_damaged", "2", "data.max_damaged must be in [0, 1], got 2"),
        ("data.plan.row_length", "0", "data.plan.row_length must be at least 1, got 0"),
        ("model.optim.muon.momentum", "1", "model.optim.muon.momentum must be in [0, 1), got 1"),
    ],
)
def test_a_config_that_cannot_work_is_one_line_before_anything_is_read(
    tokenizers: Path, capsys: pytest.CaptureFixture[str], setting: str, value: str, told: str
) -> None:
    command = ["fit", "--config", str(DEMO), f"--{setting}", value, "--data.tokenizers", str(tokenizers)]
    assert main(command) == 2
    line = capsys.readouterr().err.splitlines()[-1]  # Lightning says before that it has set the seed
    assert line.startswith("omni: error: ") and told in line
