"""``omni cascade``: shards for each stage, and stages that are evaluated as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni.baselines.transcripts import STAGES
from omni.cli.main import main
from omni.datamodules.shards.reader import ShardReader
from omni.export import write_export
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.layout import Layout
from omni.sequence import Text
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import tiny_model
from tests.tiny_run import write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), tiny_documents(16))


def test_shards_of_all_stages(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(corpus / "train"), str(tmp_path), "--tokenizers", str(corpus / "tokenizers")]
    told = tmp_path / "told.json"
    assert main(["cascade", "shards", *arguments, "--json", str(told)]) == 0
    layout = Layout(tiny_tokenizers())
    counts = {}
    for stage in STAGES:
        reader = ShardReader(str(tmp_path / stage), layout.tokenizers.audio.fingerprint)
        assert all(index.layout == layout.fingerprint for index in reader.indexes), "measured"
        counts[stage] = len(reader)
        if stage == "text_to_text":
            segments = [s for number in range(len(reader)) for s in reader[number].segments]
            assert all(isinstance(segment, Text) for segment in segments)
    # two rounds of the six tasks, prose and sums: the sums have no transcript of each medium
    assert counts == {
        "image_to_text": 4,
        "audio_to_text": 4,
        "text_to_text": 14,
        "text_to_image": 4,
        "text_to_audio": 4,
    }
    written = json.loads(told.read_text())["written_by_source"]
    assert {stage: sum(by_source.values()) for stage, by_source in written.items()} == counts
    assert "14 of 16 documents" in capsys.readouterr().out


def test_joined_stages_are_evaluated_as_a_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Omni.generate_batch

    def briefly(self: Omni, prompts: Any, want: Any, options: SamplingOptions, *rest: Any) -> Any:
        """A model that was never trained goes on to the limits."""
        short = replace(options, max_text=4, image_steps=1, max_audio_seconds=0.2)
        return generate(self, prompts, want, short, *rest)

    monkeypatch.setattr(Omni, "generate_batch", briefly)
    write_export(tmp_path / "stage", tiny_model(), tiny_tokenizers())
    stages = [f"{stage}={tmp_path / 'stage'}" for stage in STAGES]
    assert main(["cascade", "join", str(tmp_path / "cascade"), *stages]) == 0
    out = tmp_path / "figures.json"
    data = ["--data", str(corpus / "train"), "--limit", "1", "--json", str(out)]
    assert main(["eval", str(tmp_path / "cascade"), *data]) == 0
    counts = json.loads(out.read_text())["counts"]
    assert {"image_to_text_exact", "audio_to_text_exact", "prose_text_loss"} <= set(counts)
    assert not any(name.endswith(("_image_loss", "_audio_loss")) for name in counts)


def test_bad_stages_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cascade", "join", str(tmp_path), "text_to_text"]) == 2
    assert "'text_to_text': expected STAGE=CKPT" in capsys.readouterr().err
