"""The whole demo at a reduced size, and the commands on what it leaves: no commit may break them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import soundfile
from PIL import Image as PILImage

from omni.datamodules.shards.reader import ShardReader
from omni.inference.omni import Omni
from omni.media import read_image
from omni.sequence import Audio, Image, Text
from tests.demo_run import demo_folder, omni

METRICS = (
    "image_to_text_exact",
    "chart_to_text_exact",
    "audio_to_text_exact",
    "text_to_image_judged",
    "text_to_audio_judged",
    "text_to_audio_pocketsphinx",
    "codec_pocketsphinx",
    "image_to_audio_judged",
    "audio_to_image_judged",
    "arithmetic_exact",
    "text_perplexity",
    "unigram_perplexity",
    "seconds",
    "peak_memory_gib",
)


def checkpoint() -> str:
    return str(demo_folder() / "checkpoints" / "last.ckpt")


def test_the_demo_measures_every_figure() -> None:
    metrics = json.loads((demo_folder() / "metrics.json").read_text())
    assert set(METRICS) <= set(metrics)
    assert all(
        0 <= metrics[name] <= 1 for name in METRICS if name.endswith(("_exact", "_judged", "_pocketsphinx"))
    )
    assert metrics["codec_judged"] >= 0.95 * metrics["original_judged"]
    assert metrics["image_to_text_svm"] == pytest.approx(0.964, abs=0.01)
    rows = (demo_folder() / "logs" / "version_0" / "metrics.csv").read_text()
    assert "val/audio" in rows and "router/image_max_over_mean" in rows


def test_the_report_needs_nothing_from_outside() -> None:
    page = (demo_folder() / "report.html").read_text()
    assert "synthetic" in page and "eSpeak" in page
    assert not re.findall(r"""(?:src|href)=["']https?:""", page)


def test_no_heldout_media_are_in_training() -> None:
    def media(part: str) -> set[bytes]:
        reader = ShardReader(demo_folder() / "shards" / part)
        segments = [segment for number in range(len(reader)) for segment in reader[number].segments]
        pictures = {segment.pixels.tobytes() for segment in segments if isinstance(segment, Image)}
        return pictures | {segment.waveform.tobytes() for segment in segments if isinstance(segment, Audio)}

    heldout = media("heldout")
    assert heldout and heldout.isdisjoint(media("train"))


def test_the_run_is_described() -> None:
    run = json.loads((demo_folder() / "run.json").read_text())
    assert run["seed"] == 0 and run["reduced"] and "eSpeak" in run["speech"]
    assert (demo_folder() / run["losses"]).is_file()


def test_a_checkpoint_works_alone_and_answers_in_every_modality(tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copytree(checkpoint(), alone)
    samples = demo_folder() / "samples"
    read = omni(
        "generate",
        str(alone),
        "--image",
        str(samples / "digit.png"),
        "--text",
        "which digit?",
        "--want",
        "text",
    )
    assert read.returncode == 0, read.stderr
    heard = omni("generate", str(alone), "--audio", str(samples / "clip.wav"), cwd=tmp_path)
    assert heard.returncode == 0, heard.stderr
    drawn = omni(
        "generate", str(alone), "--text", "draw a seven", "--want", "image", "--out", str(tmp_path / "p.png")
    )
    assert drawn.returncode == 0, drawn.stderr
    assert PILImage.open(tmp_path / "p.png").size[0] % 4 == 0
    said = omni(
        "generate", str(alone), "--text", "say seven", "--want", "audio", "--out", str(tmp_path / "s.wav"),
        "--max-audio-seconds", "1",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert 0 < soundfile.info(tmp_path / "s.wav").duration <= 1


def test_the_python_interface_answers_as_the_command_does() -> None:
    omni_model = Omni.from_checkpoint(checkpoint())
    digit = Image(read_image(demo_folder() / "samples" / "digit.png"))
    (answer,) = omni_model.generate([digit, Text("which digit?")], want="text")
    assert isinstance(answer, Text) and answer.role == "assistant"
    command = omni(
        "generate", checkpoint(), "--image", str(demo_folder() / "samples" / "digit.png"),
        "--text", "which digit?", "--want", "text",
    )  # fmt: skip
    assert command.stdout.strip() == answer.text.strip()


def test_eval_gives_the_figures_of_the_demo_again(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = omni("eval", checkpoint(), "--data", str(demo_folder() / "shards" / "heldout"), "--json", str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["metrics"]
    metrics = json.loads((demo_folder() / "metrics.json").read_text())
    for name in ("image_to_text_exact", "audio_to_image_judged", "text_to_audio_judged", "text_perplexity"):
        assert found[name] == pytest.approx(metrics[name], rel=1e-6), name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("generate", "CKPT", "--image", "none.png"), "none.png: no such media file"),
        (("generate", "CKPT", "--text", "x", "--want", "audoi"), "did you mean 'audio'?"),
        (("generate", "none.ckpt", "--text", "x"), "none.ckpt: no such checkpoint"),
        (("generate", "CKPT"), "no prompt"),
        (("eval", "CKPT", "--data", "none"), "none: no shards"),
        (("demo", "--speech", "none", "--out", "OUT"), "none"),
        (("demo", "--seed", "-1", "--out", "OUT"), "--seed must be 0 or more, got -1"),
        (("demo", "--steps", "0", "--out", "OUT"), "--steps must be at least 1, got 0"),
        (("eval", "CKPT", "--data", "none", "--limit", "0"), "--limit must be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_line_that_says_what(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    stand_for = {"CKPT": checkpoint(), "OUT": str(tmp_path)}
    done = omni(*(stand_for.get(part, part) for part in arguments))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("omni: error: ")
    assert expected in done.stderr
