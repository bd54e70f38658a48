"""Conversations, demonstrations, preferences and prompts: what becomes of each line, and what is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.chat import read_chat
from omni.datamodules.importers.sharegpt import read_sharegpt
from omni.media import write_wav
from tests.datamodules.importers.imported import import_from, jpeg, save, save_clip, save_lines, shown
from tests.tiny import SAMPLE_RATE, tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "7.jpg", jpeg(7))
    save(tmp_path / "1.jpg", jpeg(1, width=9))
    save(tmp_path / "bad.jpg", b"no picture")
    save_clip(tmp_path / "seven.wav", 7)
    return tmp_path


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def picture_url(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def wav_base64(folder: Path) -> str:
    write_wav(folder / "one.wav", tone(1, 0.1), SAMPLE_RATE)
    return base64.b64encode((folder / "one.wav").read_bytes()).decode()


def test_messages_with_parts_of_every_modality(folder: Path) -> None:
    inline = "data:image/jpeg;base64," + base64.b64encode(jpeg(3, width=4)).decode()
    parts = [
        {"type": "text", "text": "Which?"},
        picture_url("7.jpg"),
        picture_url((folder / "1.jpg").as_uri()),
        picture_url(inline),
        {"type": "input_audio", "input_audio": {"data": wav_base64(folder), "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": "seven.wav"}},
    ]
    line = {
        "id": "a.b",
        "source": "mixed",
        "label": "seven",
        "messages": [
            turn("system", "Be brief."),
            turn("user", parts),
            turn("assistant", "seven, drawn:", weight=0),
            turn("user", "Draw and say it."),
            turn("assistant", [picture_url("7.jpg"), {"type": "audio_url", "audio_url": "seven.wav"}]),
        ],
    }
    found = import_from(read_chat, save_lines(folder / "talks.jsonl", line), name="chat")
    (document,) = found.documents
    assert (document.key, document.source, document.label) == ("a_b", "mixed", "seven")
    assert shown(document) == [
        "system 'Be brief.'",
        "user 'Which?'",
        "user image 5x6",
        "user image 9x6",
        "user image 4x6",
        "user audio 0.1s",
        "user audio 0.1s",
        "assistant 'seven, drawn:'",
        "user 'Draw and say it.'",
        "* assistant image 5x6",
        "* assistant audio 0.1s",
    ]


LINES: list[tuple[dict[str, Any], list[list[str]]]] = [
    ({"prompt": "2 + 2?", "completion": "four"}, [["user '2 + 2?'", "* assistant 'four'"]]),
    ({"prompt": [picture_url("7.jpg")]}, [["user image 5x6"]]),
    (
        {
            "prompt": [turn("user", "a"), turn("assistant", "b"), turn("user", "c")],
            "completion": [turn("assistant", "d")],
        },
        [["user 'a'", "assistant 'b'", "user 'c'", "* assistant 'd'"]],
    ),
    (
        {"prompt": "Draw a seven.", "chosen": [picture_url("7.jpg")], "rejected": [picture_url("1.jpg")]},
        [
            ["user 'Draw a seven.'", "* assistant image 5x6"],
            ["user 'Draw a seven.'", "* assistant image 9x6"],
        ],
    ),
    (  # the prompt is what both begin with
        {
            "chosen": [turn("user", "a"), turn("assistant", "b")],
            "rejected": [turn("user", "a"), turn("assistant", "c")],
        },
        [["user 'a'", "* assistant 'b'"], ["user 'a'", "* assistant 'c'"]],
    ),
    (  # TRL's pictures: a list beside parts without a path
        {"images": ["7.jpg"], "messages": [turn("user", [{"type": "image"}]), turn("assistant", "seven")]},
        [["user image 5x6", "* assistant 'seven'"]],
    ),
    (
        {
            "tools": [{"name": "weather"}],
            "messages": [
                turn("user", "Oslo?"),
                turn(
                    "assistant",
                    None,
                    tool_calls=[{"function": {"name": "weather", "arguments": '{"in": "Oslo"}'}}],
                ),
                turn("tool", "18 C"),
                turn("assistant", "Mild."),
            ],
        },
        [
            [
                'system \'<tools>\\n{"name": "weather"}\\n</tools>\'',
                "user 'Oslo?'",
                "* assistant '<tool_call>\\n"
                '{"name": "weather", "arguments": {"in": "Oslo"}}\\n</tool_call>\'',
                "user '<tool_response>\\n18 C\\n</tool_response>'",
                "* assistant 'Mild.'",
            ]
        ],
    ),
]


def test_each_shape_of_a_line(folder: Path) -> None:
    source = save_lines(folder / "lines.jsonl", *(line for line, _ in LINES))
    found = import_from(read_chat, source, name="chat")
    assert [shown(document) for document in found.documents] == [
        document for _, documents in LINES for document in documents
    ]
    assert found.keys[3:7] == [
        "00000004-chosen",
        "00000004-rejected",
        "00000005-chosen",
        "00000005-rejected",
    ]
    assert found.told.steps == sum(found.told.done)


GOOD = {"prompt": "a", "completion": "b"}
BAD: list[tuple[Any, str]] = [
    ({"prompt": "a", "completion": " "}, "completion is empty"),
    (
        {"prompt": "a", "completion": [turn("assistant", "")]},
        r"completion\[0\]: the assistant's message is empty",
    ),
    ({"prompt": "", "completion": "b"}, "prompt is empty"),
    ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same"),
    ({"prompt": "a", "chosen": "b"}, "rejected: missing"),
    ({"prompt": "a", "completion": "b", "label": True}, "label: true marks an answer as good or bad"),
    (
        {"prompt": [picture_url("no.jpg")]},
        r"prompt\[0\]\.content\[0\]\.image_url: image 'no.jpg': no such file",
    ),
    ({"prompt": [picture_url("bad.jpg")]}, "image 'bad.jpg': .* not a picture"),
    ({"prompt": [picture_url("https://a.b/c.png")]}, "is only an address; download it"),
    ({"prompt": [picture_url("data:image/png;base64,!!")]}, "not base64"),
    ({"prompt": [{"type": "video"}]}, r"content\[0\]\.type: expected one of \['text', .* got \"video\""),
    ({"prompt": [{"type": "image"}]}, "no image left in the line's list of images"),
    ({"images": ["7.jpg"], **GOOD}, "1 images of the line's list are in no message"),
    ({"messages": [turn("user", "a")]}, "no assistant's turn to learn"),
    ({"messages": [turn("alien", "a")]}, r"messages\[0\]\.role: expected one of .* got \"alien\""),
    ({"messages": []}, "messages: expected a list of messages"),
    ({"question": "a"}, r"expected messages, .* got the fields \['question'\]"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_line_is_set_aside_and_named(folder: Path, bad: dict[str, Any], message: str) -> None:
    found = import_from(read_chat, save_lines(folder / "x.jsonl", bad, GOOD), most=0.5, name="chat")
    assert found.keys == ["00000002"]
    ((place, said),) = found.aside
    assert place == "1"
    with pytest.raises(ValueError, match=message):
        raise ValueError(said)
    with pytest.raises(ValueError, match="1 of 2 documents are damaged"):
        import_from(read_chat, save_lines(folder / "y.jsonl", bad, GOOD), name="chat")


def test_sharegpt(folder: Path) -> None:
    def say(speaker: str, value: str) -> dict[str, str]:
        return {"from": speaker, "value": value}

    talks = [
        {
            "conversations": [say("human", "<image>\nWhat is <audio>?"), say("gpt", "seven")],
            "system": "Be brief.",
            "images": ["7.jpg"],
            "audios": ["seven.wav"],
        },
        {
            "id": "p",
            "conversations": [say("human", "Hi")],
            "chosen": say("gpt", "Hello"),
            "rejected": say("gpt", "What?"),
        },
        {
            "conversations": [
                say("human", "Oslo?"),
                say("function_call", '{"name": "weather"}'),
                say("observation", "18 C"),
                say("gpt", "Mild."),
            ]
        },
    ]
    found = import_from(read_sharegpt, save_lines(folder / "talks.jsonl", *talks), name="talk")
    assert [shown(document) for document in found.documents] == [
        [
            "system 'Be brief.'",
            "user image 5x6",
            "user 'What is '",
            "user audio 0.1s",
            "user '?'",
            "* assistant 'seven'",
        ],
        ["user 'Hi'", "* assistant 'Hello'"],
        ["user 'Hi'", "* assistant 'What?'"],
        [
            "user 'Oslo?'",
            '* assistant \'<tool_call>\\n{"name": "weather"}\\n</tool_call>\'',
            "user '<tool_response>\\n18 C\\n</tool_response>'",
            "* assistant 'Mild.'",
        ],
    ]
    assert found.keys == ["00000001", "p-chosen", "p-rejected", "00000003"]
