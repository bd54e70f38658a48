"""``omni generate --data``: one line a document, nothing twice, wherever a run was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni.cli.generate_bulk import prompt_of
from omni.cli.main import main
from omni.datamodules.shards.writer import write_shards
from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.media import read_audio, read_image
from omni.sequence import Document, Text
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import tiny_model

COUNT = 12
SETTINGS = ("--temperature", "1", "--max-text", "8", "--max-audio-seconds", "0.2", "--image-steps", "1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with shards, and a checkpoint that is always the tiny model."""
    monkeypatch.chdir(tmp_path)
    write_shards(tiny_documents(COUNT), tmp_path / "shards", 5)
    omni = Omni(tiny_model(), tiny_tokenizers())
    monkeypatch.setattr(Omni, "from_checkpoint", lambda *_: omni)
    return tmp_path


def bulk(*options: str, data: str = "shards", out: str = "out/answers.jsonl") -> int:
    return main(["generate", "last.ckpt", "--data", data, "--out", out, "--slots", "4", *SETTINGS, *options])


def lines(out: str = "out/answers.jsonl") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in Path(out).read_text().splitlines()]
    return sorted(found, key=lambda line: line["number"])


def test_every_document_gets_a_line_with_its_files(here: Path) -> None:
    assert bulk() == 0
    found = lines()
    assert [line["number"] for line in found] == list(range(COUNT))
    assert [line["id"] for line in found] == [document.key for document in tiny_documents(COUNT)]
    kinds = set()
    for line in found:
        for part in line["answer"]:
            kinds.add(part["type"])
            if part["type"] == "image":
                assert read_image(here / "out" / part["file"]).size
            elif part["type"] == "audio":
                assert len(read_audio(here / "out" / part["file"])[0])
    assert "text" in kinds


@pytest.mark.parametrize("want", ["text", "image", "audio"])
def test_a_killed_run_goes_on_and_ends_with_the_same_lines(
    here: Path, monkeypatch: pytest.MonkeyPatch, want: str
) -> None:
    assert bulk("--want", want, out="whole/answers.jsonl") == 0
    steps, step = 0, Engine.step

    def killed(engine: Engine) -> bool:
        nonlocal steps
        steps += 1
        if steps == 14:
            raise KeyboardInterrupt
        return step(engine)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", killed)
        assert bulk("--want", want) == 130
    there = len(lines())
    assert 0 < there < COUNT
    with Path("out/answers.jsonl").open("a") as file:
        file.write('{"number": 11, "id": "cut')  # a line that was being written
    asked: list[int] = []
    submit = Engine.submit
    monkeypatch.setattr(Engine, "submit", lambda *a: asked.append(1) or submit(*a))  # type: ignore[func-returns-value]
    assert bulk("--want", want) == 0
    assert len(asked) == COUNT - there
    assert lines() == [
        json.loads(json.dumps(line).replace("whole/", "out/")) for line in lines("whole/answers.jsonl")
    ]


def test_other_settings_do_not_mix_into_the_same_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bulk("--want", "text") == 0
    assert bulk("--want", "text", "--seed", "3", "--top-k", "2") == 2
    assert "its answers were made with other settings (seed, top_k)" in capsys.readouterr().err


def test_jsonl_prompts_with_settings_of_every_kind(here: Path) -> None:
    entries = [
        {"id": "a", "segments": [{"type": "text", "text": "which digit?"}]},
        {"id": "b", "segments": [{"type": "text", "text": "say it"}]},
    ]
    Path("asked.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    token = tiny_tokenizers().text.encode("one")[0]
    options = (
        "--want",
        "text",
        "--logit-bias",
        f"{token}=100",
        "--logprobs",
        "--top-logprobs",
        "1",
        "--stop",
        "zzz",
    )
    assert bulk(*options, data="asked.jsonl") == 0
    found = lines()
    assert [line["id"] for line in found] == ["a", "b"]
    assert {said["token"] for line in found for said in line["logprobs"]} == {token}
    assert bulk("--want", "image", "--grid", "2x3", data="asked.jsonl", out="drawn.jsonl") == 0
    (part,) = lines("drawn.jsonl")[0]["answer"]
    assert part["file"] == "drawn/00000000-0.png"
    assert read_image(part["file"]).shape == (8, 12, 3)


def test_a_document_that_can_not_be_asked_has_a_line_that_says_why(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = [Document((Text("yes", role="assistant"),), key="x"), *tiny_documents(2)]
    write_shards(documents, here / "other", 5)
    assert bulk("--want", "text", "--continue", data="other") == 0
    assert "can't be continued" in lines()[0]["error"]
    assert "3 are new, 1 of them without an answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--out", "answers.txt"), "--data needs --out FILE.jsonl for the answers, got answers.txt"),
        (("--text", "one"), "--data has the prompts: leave --text, --image and --audio out"),
    ],
)
def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert bulk(*options) == 2
    assert told in capsys.readouterr().err


def test_the_prompt_is_what_stands_before_the_last_answer() -> None:
    talk = [Text(word, role=role) for word, role in (("a", "user"), ("b", "assistant"), ("c", "user"))]  # type: ignore[arg-type]
    answered = Document((*talk, Text("d", role="assistant"), Text("e", role="assistant")))
    assert prompt_of(answered) == prompt_of(Document(tuple(talk))) == tuple(talk)
