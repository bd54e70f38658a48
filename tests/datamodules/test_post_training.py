"""Demonstrations and preferences from labelled documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omni.datamodules.importers.chat import read_chat
from omni.datamodules.pair_datamodule import PairDataModule
from omni.datamodules.post_training import AnsweredShards, split
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.plan_config import PlanConfig
from omni.preference import PairBatch
from omni.sequence import Document, Image, Segment, Text
from tests.datamodules.importers.imported import Told, save_lines
from tests.tiny import tiny_documents
from tests.tiny_run import write_corpus, write_measured


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_corpus(tmp_path_factory.mktemp("corpus"))
    answered = AnsweredShards(ShardReader(folder / "train"))
    write_measured(list(answered.preferences(seed=0)), folder / "pairs", folder / "tokenizers")
    return folder


@pytest.fixture(scope="module")
def answered(corpus: Path) -> AnsweredShards:
    return AnsweredShards(ShardReader(corpus / "train"))


def content(segments: tuple[Segment, ...]) -> list[object]:
    """What can be compared."""
    return [
        s.text if isinstance(s, Text) else (s.pixels if isinstance(s, Image) else s.waveform).tobytes()
        for s in segments
    ]


def stored(answered: AnsweredShards) -> tuple[Document, ...]:
    """The documents as the shards keep them: samples of 16 bits."""
    return tuple(answered.reader[number] for number in range(len(answered.reader)))


def label_of_answer(answer: tuple[Segment, ...], documents: tuple[Document, ...]) -> set[str | None]:
    return {d.label for d in documents if content(split(d)[1]) == content(answer)}


def test_documents_without_a_labelled_answer_are_left_out_and_counted(answered: AnsweredShards) -> None:
    prose = sum(document.source == "prose" for document in tiny_documents(60))
    assert answered.left_out == prose > 0
    assert len(answered) == 60 - prose
    with pytest.raises(ValueError, match="no documents with a label"):
        AnsweredShards(answered.reader, per_source=1)


def test_a_share_of_demonstrations_is_wrong_and_drawn_by_seed(answered: AnsweredShards) -> None:
    right = {d.key: content(split(d)[1]) for d in stored(answered)}

    def wrong(share: float, seed: int) -> list[str]:
        made = list(answered.demonstrations(share, seed))
        assert len(made) == len(answered)
        assert all([s.loss for s in d.segments] == [s.role == "assistant" for s in d.segments] for d in made)
        return [d.key for d in made if content(split(d)[1]) != right[d.key]]

    assert wrong(0.0, 0) == []
    assert len(wrong(1.0, 0)) == len(answered)
    some = wrong(0.45, 0)
    assert 0.25 < len(some) / len(answered) < 0.65
    assert some == wrong(0.45, 0) != wrong(0.45, 1)


def test_preferences_share_the_question_and_differ_in_what_is_said(answered: AnsweredShards) -> None:
    made = list(answered.preferences(seed=0))
    documents = stored(answered)
    assert len(made) == 2 * len(answered)
    for chosen, rejected in zip(made[::2], made[1::2], strict=True):
        stem = chosen.key.removesuffix("-chosen")
        assert rejected.key == f"{stem}-rejected"
        assert content(split(chosen)[0]) == content(split(rejected)[0])
        assert chosen.label not in label_of_answer(split(rejected)[1], documents)


def test_pairs_stay_together_each_once_an_epoch(corpus: Path) -> None:
    plan = PlanConfig(row_length=512, global_rows=2, window=64)
    folder = str(corpus / "pairs")
    data = PairDataModule(str(corpus / "tokenizers"), folder, folder, plan, 2)
    data.setup("fit")
    seen: list[str] = []
    batches = list(data._once(data.sources["val"], None))
    for batch in batches:
        assert isinstance(batch, PairBatch)
        assert sum(batch.lengths) == batch.modality.numel()
        assert len(batch.answers) == len(batch.pairs)
        assert batch.targets.tolist() == [batch.answers.count(m) for m in range(3)]
        for chosen, rejected in batch.pairs:
            assert batch.keys[rejected] == batch.keys[chosen].removesuffix("-chosen") + "-rejected"
        seen += batch.pair_keys
    documents = {d.key for d in tiny_documents(60) if d.source != "prose"}
    assert sorted(seen) == sorted(documents)


def test_what_is_no_pair_is_named(corpus: Path, tmp_path: Path) -> None:
    def opened(folder: Path) -> None:
        PairDataModule(str(corpus / "tokenizers"), str(folder), measure=True).setup("fit")

    with pytest.raises(ValueError, match=r"document '000000' is no preference; expected keys KEY-chosen"):
        opened(corpus / "train")
    (half,) = (
        d for d in AnsweredShards(ShardReader(corpus / "train")).preferences(0) if d.key == "000000-chosen"
    )
    write_measured([half], tmp_path / "lost", corpus / "tokenizers")
    with pytest.raises(ValueError, match="'000000-chosen' has lost its other half '000000-rejected'"):
        opened(tmp_path / "lost")
    with pytest.raises(ValueError, match=r"data\.plan\.too_long is 'split', but a pair can't be cut"):
        PairDataModule("nowhere", "nowhere", None, PlanConfig(too_long="split"))


def test_a_prompt_longer_than_the_context_is_left_out_and_counted(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"prompt": "which digit? " * 200, "chosen": "one", "rejected": "two"},
        {"prompt": "which digit?", "chosen": "one", "rejected": "two"},
    ]
    source = save_lines(tmp_path / "x.jsonl", *lines)
    documents = read_chat(source, Quarantine(tmp_path, 0.0), Told(), name="chat")
    write_measured(documents, tmp_path / "pairs", corpus / "tokenizers")
    data = PairDataModule(
        str(corpus / "tokenizers"), str(tmp_path / "pairs"), None, PlanConfig(row_length=256, global_rows=1)
    )
    data.setup("fit")
    said = " ".join(capsys.readouterr().out.split())
    assert "1 documents over 256 positions left out" in said
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, PairBatch) and set(batch.pair_keys) == {"00000002"}
    assert np.array_equal(batch.targets, [len(batch.answers), 0, 0])
