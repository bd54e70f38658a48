"""Exams from JSONL: questions and options of any modality, and errors that name file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omni.datamodules.importers.choices import read_choices
from omni.media import encode_png, write_wav
from omni.sequence import Audio, Image, Text
from tests.tiny import SAMPLE_RATE, picture, tone

GOOD: dict[str, Any] = {"question": "which digit?", "options": ["six", "seven"], "answer": 1}


def exam(folder: Path, *lines: Any) -> Path:
    path = folder / "digits.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_questions_and_options_of_every_modality(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "7.png").write_bytes(encode_png(picture(7)))
    write_wav(tmp_path / "media" / "7.wav", tone(7), SAMPLE_RATE)
    drawn, said = {"type": "image", "file": "media/7.png"}, {"type": "audio", "file": "media/7.wav"}
    asked = [{"type": "text", "text": "look", "role": "system"}, drawn]
    path = exam(
        tmp_path,
        GOOD | {"id": "first", "source": "reading"},
        "",
        {"question": asked, "options": [[said], [said, said]], "answer": 0},
        {"question": [said], "options": [[drawn], [drawn]], "answer": 0},
    )
    text, sounds, pictures = read_choices(path)
    assert (text.key, text.source) == ("first", "reading")
    assert text.question == (Text("which digit?"),)
    assert (text.options, text.answer) == (((Text("six"),), (Text("seven"),)), 1)
    assert (sounds.key, sounds.source) == ("00000003", "digits")
    assert sounds.question[0] == Text("look", role="system")
    assert isinstance(sounds.question[1], Image) and np.array_equal(sounds.question[1].pixels, picture(7))
    assert [len(option) for option in sounds.options] == [1, 2]
    assert isinstance(pictures.question[0], Audio) and pictures.modality.name == "image"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"this line: not JSON"),
        (GOOD | {"anwser": 1}, r"anwser: unknown field, .*; did you mean 'answer'\?"),
        (GOOD | {"answer": "seven"}, r"answer: expected the number of an option, from 0, got \"seven\""),
        (GOOD | {"answer": True}, r"answer: expected the number"),
        (GOOD | {"answer": 2}, r"00000002: answer 2 is none of the options 0 to 1"),
        (GOOD | {"options": "six"}, r"options: expected a list, got \"six\""),
        (GOOD | {"options": ["six", 7]}, r"options\[1\]: expected a string or a list of segments, got 7"),
        (
            GOOD | {"question": [{"type": "image", "file": "no.png"}]},
            r"question\[0\]\.file 'no\.png': no such file",
        ),
        (GOOD | {"options": ["a", [{"type": "text", "txt": "b"}]]}, r"options\[1\]\[0\]\.txt: unknown field"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"digits\.jsonl:2: {message}"):
        read_choices(exam(tmp_path, GOOD, line))


def test_a_file_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"digits\.jsonl: no questions in this file"):
        read_choices(exam(tmp_path, ""))
    with pytest.raises(ValueError, match=r"none\.jsonl: no such file"):
        read_choices(tmp_path / "none.jsonl")
