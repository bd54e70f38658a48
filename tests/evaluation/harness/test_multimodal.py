"""``lmms-eval`` on a model, with a task of pictures and clips from local files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PILImage

pytest.importorskip("lmms_eval")

from omni.cli.eval import scorer_of
from omni.cli.eval_harness import run_multimodal_tasks
from omni.datamodules.collate import collate
from omni.evaluation.harness.multimodal import OmniMultimodalLM, segment_of
from omni.inference.omni import Omni
from omni.inference.score import text_nats
from omni.media import encode_png, write_wav
from omni.sequence import Audio, Document, Image, Segment, Text, turn_of
from tests.tiny import SAMPLE_RATE, WORDS, picture, tiny_tokenizers, tone
from tests.tiny_model import sequences_of, tiny_model

UTILS = """
def visual(doc):
    return [doc["picture"], doc["clip"]]

def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]

def choices(doc):
    return doc["options"]

def target(doc):
    return doc["options"][doc["answer"]]
"""
TASK = """
task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/documents.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: {kind}
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_target: {target}
{more}
generation_kwargs: {{max_new_tokens: 3, do_sample: false}}
metric_list:
  - {{metric: {metric}, aggregation: mean, higher_is_better: true}}
"""
ANSWERS = (1, 0, 2)


@pytest.fixture(scope="module")
def omni() -> Omni:
    return Omni(tiny_model(), tiny_tokenizers())


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    lines = []
    for digit, answer in enumerate(ANSWERS):
        (folder / f"{digit}.png").write_bytes(encode_png(picture(digit)))
        write_wav(folder / f"{digit}.wav", tone(digit), SAMPLE_RATE)
        shown = {"picture": str(folder / f"{digit}.png"), "clip": str(folder / f"{digit}.wav")}
        lines.append(json.dumps(shown | {"question": "which?", "options": WORDS[:3], "answer": answer}))
    (folder / "documents.jsonl").write_text("\n".join(lines))
    (folder / "utils.py").write_text(UTILS)
    options = "doc_to_choice: !function utils.choices"
    choose = TASK.format(
        task="choose", folder=folder, kind="multiple_choice", target="answer", metric="acc", more=options
    )
    target = "!function utils.target"
    write = TASK.format(
        task="write", folder=folder, kind="generate_until", target=target, metric="exact_match", more=""
    )
    (folder / "choose.yaml").write_text(choose)
    (folder / "write.yaml").write_text(write)
    return folder


def test_tasks_run_from_local_files(omni: Omni, tasks: Path) -> None:
    metrics, _, counts = run_multimodal_tasks(omni, scorer_of(omni), ["choose", "write"], tasks)
    right = 0
    for digit, answer in enumerate(ANSWERS):
        shown: list[Segment] = [
            Image.open(tasks / f"{digit}.png"),
            Audio.open(tasks / f"{digit}.wav"),
            Text("which?"),
        ]
        costs = []
        for word in WORDS[:3]:
            document = Document((*turn_of(shown, "user", False), Text(word, role="assistant")))
            costs.append(text_nats(omni.model, collate([sequences_of([document])]))[1][:-1].sum())
        right += int(np.argmin(costs)) == answer
    assert metrics["choose_acc"] == pytest.approx(right / 3)
    assert 0 <= metrics["write_exact_match"] <= 1
    assert counts["choose_acc"] == counts["write_exact_match"] == 3


def test_the_harness_is_given_costs(omni: Omni) -> None:
    """Its models return their loss, and it takes the option of the lowest value."""
    lm = OmniMultimodalLM(omni, scorer_of(omni))
    lm.task_dict = {"task": {"test": [{"picture": PILImage.fromarray(picture(3))}]}}
    args = ("which?", " two", lambda document: [document["picture"]], 0, "task", "test")
    (wrapped,) = lm.loglikelihood([SimpleNamespace(args=args)])
    cost, greedy = wrapped.text
    turns = (*turn_of([Image(picture(3)), Text("which?")], "user", False), Text("two", role="assistant"))
    expected = text_nats(omni.model, collate([sequences_of([Document(turns)])]))[1][:-1].sum()
    assert cost == pytest.approx(expected, rel=1e-4) and cost > 0
    assert not greedy


def test_what_a_document_shows(tmp_path: Path) -> None:
    drawn = segment_of(PILImage.fromarray(picture(3)))
    assert isinstance(drawn, Image) and np.array_equal(drawn.pixels, picture(3))
    said = segment_of({"array": np.stack([tone(3), tone(3)]), "sampling_rate": SAMPLE_RATE})
    assert isinstance(said, Audio) and said.sample_rate == SAMPLE_RATE
    np.testing.assert_allclose(said.waveform, tone(3))
    with pytest.raises(ValueError, match="a document shows a int, expected a picture, a clip or a path"):
        segment_of(3)
