"""The encoder baseline trains as the unified model does, in another audio layout, too, and its checkpoint answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omni.checkpoint import load_model
from omni.cli.lightning_cli import OmniCLI
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.sequence import Audio, Image, Text
from tests.tiny import picture
from tests.tiny_run import write_corpus

CONFIGS = Path(__file__).parents[2] / "configs"
OPTIONS = SamplingOptions(max_text=4, max_audio_seconds=0.2)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_encoders_and_a_late_layout_train_and_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data's layout follows the model's: with frames of whole codes the delayed head would have no gaps."""
    monkeypatch.chdir(tmp_path)
    corpus = write_corpus(tmp_path / "corpus")
    OmniCLI.from_arguments(
        [
            *("fit", "--config", str(CONFIGS / "experiment" / "demo.yaml")),
            *("--model.network", str(CONFIGS / "model" / "encoder.yaml")),
            *("--model.network.audio.layout", "delay", "--data.measure", "true"),
            *("--model.network.width", "32", "--model.network.layers", "1"),
            *("--data.tokenizers", str(corpus / "tokenizers"), "--data.train", str(corpus / "train")),
            *("--data.val", "null", "--data.plan.row_length", "256"),
            *("--trainer.default_root_dir", "run", "--trainer.max_steps", "2", "--trainer.logger", "false"),
            *("--trainer.enable_progress_bar", "false"),
        ]
    )
    model, tokenizers = load_model("run/checkpoints/last.ckpt")
    assert model.encoders is not None and set(model.encoders.towers) == {"image", "audio"}
    omni = Omni(model, tokenizers)
    assert omni.layout.audio.name == "delay"
    (said,) = omni.generate([Image(picture(3)), Text("say it")], "audio", OPTIONS)
    assert isinstance(said, Audio)
    began = torch.nn.functional.mse_loss(model.encoders.towers["image"].norm.weight, torch.ones(96))
    assert began > 0, "the tower learns"
