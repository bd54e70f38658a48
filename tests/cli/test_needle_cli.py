"""``omni needle``: shards to train on, and what a reader that forgets the beginning scores."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.checkpoint import CHECKPOINT_KEY, MODEL_PREFIX, describe
from omni.cli.main import main
from omni.datamodules.shards.reader import ShardReader
from omni.inference.omni import Omni
from omni.layout import Layout
from omni.nn.context_config import RopeConfig
from omni.sequence import Image, Segment, Text
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_model


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command runs in, with tokenizers."""
    monkeypatch.chdir(tmp_path)
    tiny_tokenizers().save(tmp_path / "tokenizers")
    return tmp_path


def test_make_writes_measured_shards(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--documents", "6", "--lengths", "400-800", "--needles", "2-3", "--kinds", "text,image"]
    assert main(["needle", "make", "shards", "--tokenizers", "tokenizers", *options]) == 0
    assert "shards: 6 documents, " in capsys.readouterr().out
    reader = ShardReader("shards")
    layout = Layout(tiny_tokenizers())
    documents = [reader[number] for number in range(6)]
    assert all(300 < len(layout.encode(document)) <= 800 for document in documents)
    assert all(document.source == "needle" for document in documents)
    assert any(isinstance(segment, Image) for document in documents for segment in document.segments)


def reading(monkeypatch: pytest.MonkeyPatch, share: float) -> list[RopeConfig]:
    """Let any checkpoint find numbers in the last ``share`` of the prompt; returns the rope of each answer."""
    omni = Omni(tiny_model(), tiny_tokenizers())
    ropes: list[RopeConfig] = []

    def generate(prompt: Sequence[Segment], *_: Any, **__: Any) -> list[Segment]:
        ropes.append(omni.model.rotary.rope)
        text = "".join(segment.text for segment in prompt if isinstance(segment, Text))
        found = re.search(r"magic number of the \w+ is ([a-z ]+)\.", text[round((1 - share) * len(text)) :])
        return [Text(found[1] if found else "no idea")]

    monkeypatch.setattr(omni, "generate", generate)
    monkeypatch.setattr(Omni, "from_checkpoint", lambda *_: omni)
    return ropes


@pytest.mark.parametrize(("share", "depths"), [(1.0, [1, 1, 1]), (0.3, [0, 0, 1])], ids=["all", "the end"])
def test_shares_are_by_depth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], share: float, depths: list[int]
) -> None:
    pytest.importorskip("matplotlib")
    reading(monkeypatch, share)
    options = ["--length", "1500,3000", "--depths", "3", "--needles", "6"]
    files = ["--json", "out/found.json", "--heatmap", "out/found.png"]
    assert main(["needle", "test", "last.ckpt", *options, *files]) == 0
    figures = json.loads(Path("out/found.json").read_text())
    assert [row["length"] for row in figures["lengths"]] == [1500, 3000]
    for row in figures["lengths"]:
        assert list(row["depths"]) == ["0", "0.5", "1"]
        assert list(row["depths"].values()) == depths
        assert row["needles"] == 6 and row["found"] == pytest.approx(sum(depths) / 3)
    assert len(figures["answers"]) == 12
    assert Path("out/found.png").read_bytes().startswith(b"\x89PNG")
    assert "Needles found, by depth" in capsys.readouterr().out


def test_another_yarn_factor_is_read_with(monkeypatch: pytest.MonkeyPatch) -> None:
    ropes = reading(monkeypatch, 1.0)
    few = ["--length", "600", "--depths", "1", "--needles", "1"]
    assert main(["needle", "test", "last.ckpt", *few, "--yarn-factor", "8"]) == 0
    (rope,) = ropes
    assert rope.yarn.factor == 8 and rope.base == RopeConfig().base


def test_a_checkpoint_is_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An untrained one; it answers something."""
    model = tiny_model()
    weights = {MODEL_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    kept = describe(model.config, tiny_tokenizers())
    torch.save({CHECKPOINT_KEY: kept, "state_dict": weights}, "last.ckpt")
    few = ["--length", "300", "--depths", "2", "--needles", "2", "--kind", "image", "--json", "found.json"]
    assert main(["needle", "test", "last.ckpt", *few]) == 0
    figures = json.loads(Path("found.json").read_text())
    assert figures["kind"] == "image" and figures["lengths"][0]["found"] == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--length", "long"], "--length 'long': expected a number"),
        (["--kind", "smell"], "--kind smell: no kind 'smell'; there are text, image, audio"),
        (["--depths", "5", "--needles", "4"], "--needles 4 over --depths 5"),
        ([], "last.ckpt: no such checkpoint file"),
    ],
)
def test_what_cannot_be_tested_is_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main(["needle", "test", "last.ckpt", *options]) == 2
    assert told in capsys.readouterr().err


def test_what_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for options, told in (
        (["--lengths", "short"], "--lengths 'short': expected a number or a range such as 128-1024"),
        (["--documents", "0"], "--documents must be at least 1, got 0"),
        (["--kinds", "text,smell"], "no kind 'smell'"),
    ):
        assert main(["needle", "make", "shards", "--tokenizers", "tokenizers", *options]) == 2
        assert told in capsys.readouterr().err
