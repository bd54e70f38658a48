"""Conversations about pictures: turns, places, what is learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.llava import read_llava
from tests.datamodules.importers.imported import import_from, jpeg, save, save_lines, shown


def talk(*turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return fields | {"conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "coco" / "1.jpg", jpeg(1, width=3))
    save(tmp_path / "coco" / "2.jpg", jpeg(2, width=4))
    save(tmp_path / "coco" / "bad.jpg", b"no picture")
    return tmp_path


TALKS = [
    talk(
        ("human", "<image>\nWhat is it?"),
        ("gpt", "A cat."),
        ("human", "Where?"),
        ("gpt", "On a mat."),
        id="0.1",
        image="coco/1.jpg",
    ),
    talk(
        ("human", "Compare <image> and\n<image>"), ("gpt", "Same."), image=["coco/1.jpg", "coco/2.jpg"], id=7
    ),
    talk(("system", "Be brief."), ("human", "Hi"), ("gpt", "Hello"), id=7),
    talk(("human", "Draw a cat."), ("gpt", "<image>"), image="coco/1.jpg"),
]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_conversations(folder: Path, kind: str) -> None:
    if kind == "json":
        source = save(folder / "talks.json", json.dumps(TALKS).encode())
    else:
        source = save_lines(folder / "talks.jsonl", *TALKS)
    found = import_from(read_llava, source, name="llava")
    assert found.keys == ["0_1", "7", "7-2", "00000004"]
    assert [shown(document) for document in found.documents] == [
        [
            "user image 3x6",
            "user 'What is it?'",
            "* assistant 'A cat.'",
            "user 'Where?'",
            "* assistant 'On a mat.'",
        ],
        ["user 'Compare '", "user image 3x6", "user ' and'", "user image 4x6", "* assistant 'Same.'"],
        ["system 'Be brief.'", "user 'Hi'", "* assistant 'Hello'"],
        ["user 'Draw a cat.'", "* assistant image 3x6"],
    ]
    assert found.told.steps == sum(found.told.done)


def test_pictures_in_another_folder(folder: Path) -> None:
    source = save(folder / "elsewhere" / "talks.json", json.dumps(TALKS[:1]).encode())
    assert len(import_from(read_llava, source, name="llava", images=folder).documents) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("a", "expected an object, got 'a'"),
        ({"id": 1}, "expected a list `conversations` of turns, got the fields ['id']"),
        (talk(("human", "<image>"), ("gpt", "a")), "1 places <image> in the turns for 0 pictures"),
        (
            talk(("human", "a"), ("gpt", "a"), image="coco/1.jpg"),
            "0 places <image> in the turns for 1 pictures",
        ),
        (talk(("human", "<image>"), ("gpt", "a"), image="gone.jpg"), "image 'gone.jpg': no such file in "),
        (talk(("human", "<image>"), ("gpt", "a"), image="coco/bad.jpg"), "not a picture"),
        (talk(("human", "<image>"), ("gpt", "a"), image=7), "image: expected a path, got 7"),
        (talk(("bot", "a")), "conversations[0].from: expected one of ['system', 'human', 'gpt'], got 'bot'"),
        (talk(("human", "a"), ("gpt", None)), "no conversations[1].value"),
        (talk(("human", "a")), "no turn of gpt, so nothing to learn"),
    ],
)
def test_bad_conversations_are_set_aside(folder: Path, bad: Any, message: str) -> None:
    source = save(folder / "talks.json", json.dumps([TALKS[0], bad]).encode())
    found = import_from(read_llava, source, most=0.5, name="llava")
    assert found.keys == ["0_1"]
    ((place, error),) = found.aside
    assert place == "2" and error.startswith(f"{source}:2: ") and message in error


def test_a_file_that_is_no_list_is_an_error(folder: Path) -> None:
    for content, message in [(b"{}", "expected a JSON list of conversations, got dict"), (b"[", "not JSON")]:
        with pytest.raises(ValueError, match=message):
            import_from(read_llava, save(folder / "a.json", content), name="llava")
    with pytest.raises(ValueError, match="no such file"):
        import_from(read_llava, folder / "none.json", name="llava")
