"""``lm-eval`` on a model, with tasks from local files: what it counts is what the model says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lm_eval")

from omni.cli.eval import scorer_of
from omni.cli.eval_harness import run_text_tasks
from omni.cli.main import main
from omni.datamodules.collate import collate
from omni.evaluation.harness.text import OmniTextLM
from omni.export import write_export
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.score import text_nats
from omni.sequence import Document, Text
from tests.tiny import tiny_tokenizers
from tests.tiny_model import sequences_of, tiny_model

QUESTIONS = [
    {"question": "one plus one is", "options": ["two", "three", "four"], "answer": 0},
    {"question": "two plus two is", "options": ["seven", "four"], "answer": 1},
    {"question": "zero plus one is", "options": ["two", "three", "one"], "answer": 2},
]


@pytest.fixture(scope="module")
def omni() -> Omni:
    return Omni(tiny_model(), tiny_tokenizers())


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of each kind of request."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(folder / "questions.jsonl")},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "doc_to_text": "{{question}}",
    }
    choose = {
        "task": "choose", "output_type": "multiple_choice", "doc_to_choice": "{{options}}",
        "doc_to_target": "answer", "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }  # fmt: skip
    read = {
        "task": "read", "output_type": "loglikelihood_rolling", "doc_to_text": "",
        "doc_to_target": "{{question}}", "metric_list": [{"metric": "byte_perplexity"}],
    }  # fmt: skip
    write = {
        "task": "write", "output_type": "generate_until", "doc_to_target": "{{options[answer]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}, "metric_list": [{"metric": "exact_match"}],
    }  # fmt: skip
    for task in (choose, read, write):  # JSON is YAML
        (folder / f"{task['task']}.yaml").write_text(json.dumps(common | task))
    return folder


def request(*args: Any) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def nats(omni: Omni, *segments: Text) -> np.ndarray:
    """What the text targets cost, without the end of the document."""
    return text_nats(omni.model, collate([sequences_of([Document(segments)])]))[1][:-1]


def test_tasks_of_every_kind_run_from_local_files(omni: Omni, tasks: Path) -> None:
    metrics, intervals, counts = run_text_tasks(omni, scorer_of(omni), ["choose", "read", "write"], tasks)
    right = 0
    for one in QUESTIONS:
        asked = Text(str(one["question"]), loss=False)
        costs = [nats(omni, asked, Text(" " + option)).sum() for option in one["options"]]  # type: ignore[attr-defined]
        right += int(np.argmin(costs)) == one["answer"]
    assert metrics["choose_acc"] == pytest.approx(right / 3)
    whole = sum(nats(omni, Text(str(one["question"]))).sum() for one in QUESTIONS)
    length = sum(len(str(one["question"])) for one in QUESTIONS)
    assert metrics["read_byte_perplexity"] == pytest.approx(float(np.exp(whole / length)), rel=1e-4)
    assert 0 <= metrics["write_exact_match"] <= 1
    assert counts["choose_acc"] == counts["write_exact_match"] == 3
    low, high = intervals["choose_acc"]
    assert low <= metrics["choose_acc"] <= high


def test_the_command(omni: Omni, tasks: Path, tmp_path: Path) -> None:
    write_export(tmp_path / "model", omni.model, omni.tokenizers)
    command = [
        "eval",
        str(tmp_path / "model"),
        "--lm-eval",
        "choose",
        "--task-files",
        str(tasks),
        "--continue",
    ]
    assert main([*command, "--limit", "2", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    metrics, _, _ = run_text_tasks(omni, scorer_of(omni), ["choose"], tasks, limit=2)
    assert found["metrics"] == metrics and found["counts"]["choose_acc"] == 2


def test_an_unknown_task_is_named(omni: Omni, tasks: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown tasks \['chose'\]: .* has \['choose', 'read', 'write'\]"):
        run_text_tasks(omni, scorer_of(omni), ["chose"], tasks)
    with pytest.raises(ValueError, match="nowhere: no such folder of task files"):
        run_text_tasks(omni, scorer_of(omni), ["choose"], Path("nowhere"))


def test_likelihoods_are_those_of_running_text(omni: Omni) -> None:
    lm = OmniTextLM(omni, scorer_of(omni))
    ((likelihood, greedy),) = lm.loglikelihood([request("one plus one is", " two")], disable_tqdm=True)
    assert likelihood == pytest.approx(
        -nats(omni, Text("one plus one is", loss=False), Text(" two")).sum(), rel=1e-4
    )
    assert not greedy
    ((empty, _),) = lm.loglikelihood([request("", "one plus")], disable_tqdm=True)
    assert empty == pytest.approx(lm.loglikelihood_rolling([request("one plus")])[0], rel=1e-5)


def test_what_is_written_greedily_is_greedy(omni: Omni) -> None:
    lm = OmniTextLM(omni, scorer_of(omni))
    settings = {"until": [], "max_gen_toks": 3}
    (said,) = lm.generate_until([request("one plus one is", settings)])
    (answer,) = omni.generate([Text("one plus one is")], "text", SamplingOptions(max_text=8), chat=False)[:1]
    assert isinstance(answer, Text) and said and answer.text.startswith(said)
    stopped = lm.generate_until([request("one plus one is", settings | {"until": [said[1:]]})])
    assert stopped == [said[: said.index(said[1:])]]


def test_turns(omni: Omni) -> None:
    lm = OmniTextLM(omni, scorer_of(omni), chat=True)
    ((likelihood, _),) = lm.loglikelihood([request("which?", " two")])
    turns = (Text("which?", role="user", loss=False), Text("two", role="assistant"))
    assert likelihood == pytest.approx(-nats(omni, *turns).sum(), rel=1e-4)
    (said,) = lm.generate_until([request("which?", {"max_gen_toks": 2})])
    answers = omni.generate([Text("which?")], "text", SamplingOptions(max_text=8))
    assert "".join(a.text for a in answers if isinstance(a, Text)).startswith(said)
