"""``omni eval`` and ``omni export``: a checkpoint, its folder, held-out shards and an exam of pictures and sound."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.checkpoint import CHECKPOINT_KEY, MODEL_PREFIX, describe
from omni.cli.main import main
from omni.datamodules.shards.writer import write_shards
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.media import encode_png, write_wav
from tests.tiny import SAMPLE_RATE, picture, tiny_documents, tiny_tokenizers, tone
from tests.tiny_model import tiny_model


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, shards of every task and an exam."""
    folder = tmp_path_factory.mktemp("files")
    model = tiny_model()
    weights = {MODEL_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    kept = describe(model.config, tiny_tokenizers())
    torch.save({CHECKPOINT_KEY: kept, "state_dict": weights}, folder / "last.ckpt")
    write_shards(tiny_documents(32), folder / "heldout")
    for digit in range(4):
        (folder / f"{digit}.png").write_bytes(encode_png(picture(digit)))
        write_wav(folder / f"{digit}.wav", tone(digit), SAMPLE_RATE)
    drawn = [{"type": "image", "file": f"{digit}.png"} for digit in range(4)]
    said = [{"type": "audio", "file": f"{digit}.wav"} for digit in range(4)]
    lines: list[dict[str, Any]] = [
        {"id": "read", "question": [drawn[1], {"type": "text", "text": "which?"}], "options": ["one", "two"]},
        {"id": "listen", "question": [said[0]], "options": ["zero", "one", "two"]},
        {"id": "draw", "question": "draw zero", "options": [[one] for one in drawn]},
        {"id": "say", "question": [drawn[0]], "options": [[one] for one in said]},
    ]
    (folder / "exam.jsonl").write_text("\n".join(json.dumps(line | {"answer": 0}) for line in lines))
    return folder


def evaluated(*options: str | Path, out: Path) -> dict[str, Any]:
    assert main(["eval", *map(str, options), "--json", str(out)]) == 0
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def found(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("figures") / "figures.json"
    generate = Omni.generate_batch

    def briefly(self: Omni, prompts: Any, want: Any, options: SamplingOptions) -> Any:
        """A model that was never trained goes on to the limits."""
        return generate(
            self, prompts, want, replace(options, max_text=6, max_audio_seconds=0.2, image_steps=2)
        )

    command: list[str | Path] = [
        files / "last.ckpt",
        "--data",
        files / "heldout",
        "--choices",
        files / "exam.jsonl",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Omni, "generate_batch", briefly)
        return evaluated(*command, "--limit", "3", out=out)


def test_every_task_and_modality_has_figures_with_intervals(found: dict[str, Any]) -> None:
    expected = {
        "image_to_text_exact", "image_to_text_wer", "image_to_text_cer", "image_to_text_chrf",
        "audio_to_text_wer", "sum_exact", "text_to_audio_answered", "text_perplexity",
        "prose_text_loss", "sum_text_loss", "text_to_image_image_loss", "audio_to_image_image_loss",
        "text_to_audio_audio_loss", "exam_choice", "exam_choice_normalised", "exam_choice_chance",
    }  # fmt: skip
    assert expected <= set(found["metrics"])
    for name in expected - {"text_perplexity"}:
        low, high = found["intervals"][name]
        assert low <= found["metrics"][name] + 1e-9 and found["metrics"][name] <= high + 1e-9, name
    assert found["counts"]["prose_text_loss"] == 3 and found["counts"]["exam_choice"] == 3  # --limit
    assert found["counts"]["exam_choice"] == len(found["choices"])
    assert [len(one["log_likelihoods"]) for one in found["choices"]] == [2, 3, 4]


def test_an_export_gives_the_same_figures(files: Path, tmp_path: Path, found: dict[str, Any]) -> None:
    told = tmp_path / "told.json"
    assert main(["export", str(files / "last.ckpt"), str(tmp_path / "model"), "--json", str(told)]) == 0
    exported = [path.stat().st_size for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert json.loads(told.read_text())["bytes"] == sum(exported)
    exam = files / "exam.jsonl"
    again = evaluated(tmp_path / "model", "--choices", exam, "--limit", "3", out=tmp_path / "figures.json")
    assert again["choices"] == found["choices"]
    generated = ["generate", str(tmp_path / "model"), "--text", "which digit?", "--want", "text"]
    assert main([*generated, "--max-text", "3"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to evaluate on: give --data FOLDER, --choices FILE, --lm-eval TASKS"),
        (("--choices", "none.jsonl"), "none.jsonl: no such file"),
        (("--choices", "none.jsonl", "--limit", "0"), "--limit must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_said_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["eval", "none.ckpt", *options]) == 2
    assert message in capsys.readouterr().err


def test_an_export_does_not_write_over_anything(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    assert main(["export", str(files / "last.ckpt"), str(tmp_path)]) == 2
    assert "there is something already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "package", "extra"),
    [("--lm-eval", "lm_eval", "eval"), ("--lmms-eval", "lmms_eval", "eval-multimodal")],
)
def test_a_missing_harness_is_one_line_that_says_what_to_install(
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    package: str,
    extra: str,
) -> None:
    for name in (package, f"{package}.api", f"{package}.api.model"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("text", "multimodal"):
        monkeypatch.delitem(sys.modules, f"omni.evaluation.harness.{name}", raising=False)
    assert main(["eval", str(files / "last.ckpt"), option, "task"]) == 2
    assert f"is not installed: pip install 'omni[{extra}]'" in capsys.readouterr().err
