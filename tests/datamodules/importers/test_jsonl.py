"""Importing own documents: what a line may hold, and what is said of a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from omni.datamodules.importers.jsonl import read_jsonl
from omni.datamodules.quarantine import Quarantine
from omni.media import write_wav
from omni.sequence import Audio, Document, Image, Text
from tests.datamodules.importers.imported import Told
from tests.tiny import SAMPLE_RATE, picture, tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``pictures/cat.jpg``, ``meow.wav`` and ``broken.png`` beside the JSONL file."""
    (tmp_path / "pictures").mkdir()
    PILImage.fromarray(picture(3, 6, 5)).save(tmp_path / "pictures" / "cat.jpg")
    write_wav(tmp_path / "meow.wav", tone(1, 0.1), SAMPLE_RATE)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    return tmp_path


def read(folder: Path, *lines: dict[str, Any] | str, most: float = 0.0) -> list[Document]:
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "data.jsonl").write_text("\n".join(written), encoding="utf-8")
    quarantine = Quarantine(folder, most, "--max-damaged", "not_imported.jsonl", warn=False)
    return list(read_jsonl(folder / "data.jsonl", quarantine, Told(), name="mine"))


def test_a_line_with_everything(folder: Path) -> None:
    line = {
        "version": 1,
        "id": "cats/0001",
        "source": "cats",
        "label": "meow",
        "url": "https://example.org/ignored",
        "segments": [
            {"type": "image", "file": "pictures/cat.jpg", "role": "user", "loss": False},
            {"type": "text", "text": "What does it say?", "role": "user", "loss": False},
            {"type": "audio", "file": "meow.wav", "role": "assistant"},
        ],
    }
    (document,) = read(folder, line)
    assert (document.key, document.source, document.label) == ("cats/0001", "cats", "meow")
    image, text, audio = document.segments
    assert isinstance(image, Image) and image.pixels.shape == (6, 5, 3)
    assert (image.role, image.loss) == ("user", False)
    assert text == Text("What does it say?", role="user", loss=False)
    assert isinstance(audio, Audio) and (len(audio.waveform), audio.sample_rate) == (800, 8000)
    assert (audio.role, audio.loss) == ("assistant", True)


def test_lines_without_an_id_are_numbered_and_blank_ones_passed_over(folder: Path) -> None:
    a = {"segments": [{"type": "text", "text": "é"}]}
    documents = read(folder, "\ufeff" + json.dumps(a, ensure_ascii=False), "", "   ", a)
    assert [(d.key, d.source, d.segments) for d in documents] == [
        ("00000001", "mine", (Text("é"),)),
        ("00000004", "mine", (Text("é"),)),
    ]


def test_absolute_paths(folder: Path) -> None:
    line = {"segments": [{"type": "image", "file": str(folder / "pictures" / "cat.jpg")}]}
    assert len(read(folder, line)) == 1


def segment(**fields: Any) -> dict[str, Any]:
    return {"segments": [fields]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"segments": [', "not JSON (Expecting value at character 15)"),
        ("[]", "expected a JSON object with segments, got []"),
        ({"segments": []}, "segments: expected a list with at least one segment, got []"),
        ({"segment": []}, "segments: expected a list with at least one segment, got nothing"),
        (segment(type="picture"), "segments[0].type: unknown modality 'picture', expected one of"),
        (segment(type="Text", text="a"), "did you mean 'text'?"),
        (segment(type="text", txt="a"), "segments[0].txt: unknown field, expected some of ['type', 'text', "),
        (segment(type="text", text="a", rol="user"), "segments[0].rol: unknown field, "),
        (segment(type="text", text="a", rol="user"), "did you mean 'role'?"),
        (segment(type="text", text=["a"]), 'segments[0].text: expected a string, got ["a"]'),
        (
            segment(type="text", text="a", role="human"),
            "segments[0].role: expected one of ['system', 'user', 'assistant'] or null, got \"human\"",
        ),
        (segment(type="text", text="a", loss=0), "segments[0].loss: expected true or false, got 0"),
        (
            segment(type="image", file="cat.jpg"),
            "segments[0].file 'cat.jpg': no such file; paths are relative to the folder of data.jsonl, ",
        ),
        (segment(type="image", file="pictures"), "segments[0].file 'pictures': no such file"),
        (segment(type="image", file="broken.png"), "segments[0].file 'broken.png': "),
        (segment(type="audio", file="broken.png"), "no sound file"),
        (segment(type="image", file="meow.wav"), "not a picture, expected one of PNG, JPEG, "),
        (
            segment(type="image", file="pictures/cat.jpg", width=6),
            "segments[0].width: the JSON says 6, the file has 5",
        ),
        ({"id": "cat.0", **segment(type="text", text="a")}, "id: document key 'cat.0': expected a file name"),
        ({"id": 7, "version": 2, **segment(type="text", text="a")}, "version: expected 1, got 2"),
        ({"source": 7, **segment(type="text", text="a")}, "source: expected a string, got 7"),
    ],
)
def test_a_bad_line_is_named_by_file_line_and_field(
    folder: Path, line: dict[str, Any] | str, message: str
) -> None:
    good = segment(type="text", text="a")
    with pytest.raises(ValueError) as caught:
        read(folder, good, line)
    said = str(caught.value)
    assert said.startswith(
        f"{folder}: 1 of 2 documents are damaged, more than the allowed share of 0 (--max-dam"
    )
    assert f"first: {folder}/data.jsonl:2: " in said
    assert message in said


def test_bad_lines_within_the_limit_are_set_aside_and_listed(folder: Path) -> None:
    good = segment(type="text", text="a")
    documents = read(folder, good, "{", good, segment(type="vide"), most=0.5)
    assert [document.key for document in documents] == ["00000001", "00000003"]
    lines = [json.loads(line) for line in (folder / "not_imported.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == ["2", "4"]
    assert lines[1]["error"].startswith(f"{folder}/data.jsonl:4: segments[0].type: unknown modality 'vide'")


def test_the_same_id_twice_names_both_lines(folder: Path) -> None:
    first = {"id": "a", **segment(type="text", text="a")}
    with pytest.raises(ValueError, match=r"data\.jsonl:3: key 'a' is also that of .*data\.jsonl:1; "):
        read(folder, first, segment(type="text", text="b"), first)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 0.0)
    with pytest.raises(ValueError, match=r"none\.jsonl: no such file; expected a JSONL file"):
        next(read_jsonl(tmp_path / "none.jsonl", quarantine, Told(), name="mine"))


def test_progress_is_told_every_byte(folder: Path) -> None:
    (folder / "data.jsonl").write_text('{"segments": [{"type": "text", "text": "a"}]}\n\n')
    told = Told()
    list(read_jsonl(folder / "data.jsonl", Quarantine(folder, 0.0), told, name="mine"))
    assert sum(told.done) == told.steps == (folder / "data.jsonl").stat().st_size


def test_ten_hours_of_audio_are_refused_without_being_read(folder: Path) -> None:
    header = bytearray((folder / "meow.wav").read_bytes()[:44])
    samples = 10 * 3600 * SAMPLE_RATE
    header[4:8] = np.uint32(36 + 2 * samples).tobytes()
    header[40:44] = np.uint32(2 * samples).tobytes()
    with (folder / "long.wav").open("wb") as file:
        file.write(header)
        file.truncate(44 + 2 * samples)  # a hole: takes no space on disk
    with pytest.raises(ValueError, match=r"36000 s of audio, at most 1800 s allowed; cut it first"):
        read(folder, segment(type="audio", file="long.wav"))


def test_lines_of_running_text(folder: Path) -> None:
    web = {"text": " A page. ", "id": "<urn:uuid:1.2>", "source": "web", "metadata": {"url": "a"}}
    documents = read(folder, web, {"text": "b"}, {"text": " "}, {"text": 7}, most=0.5)
    assert [(d.key, d.source, d.segments) for d in documents] == [
        ("<urn:uuid:1_2>", "web", (Text("A page."),)),
        ("00000002", "mine", (Text("b"),)),
    ]
    listed = (folder / "not_imported.jsonl").read_text().splitlines()
    assert [json.loads(line)["error"] for line in listed] == [
        f"{folder}/data.jsonl:3: text is empty",
        f"{folder}/data.jsonl:4: text: expected a string, got 7",
    ]
