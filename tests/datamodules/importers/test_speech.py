"""Recorded speech with its words: LibriSpeech, Common Voice, LJ Speech, digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from omni.datamodules.importers.formats import Reader
from omni.datamodules.importers.speech import read_common_voice, read_digits, read_librispeech, read_ljspeech
from tests.datamodules.importers.imported import SPEECH_TO_TEXT, import_from, save, save_clip, shown
from tests.tiny import SAMPLE_RATE, tone


def save_flac(path: Path, digit: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(digit, 0.1), SAMPLE_RATE, format="FLAC")


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """Two chapters of LibriSpeech."""
    chapters = tmp_path / "LibriSpeech" / "dev-clean"
    for number in range(2):
        save_flac(chapters / "84" / "121123" / f"84-121123-000{number}.flac", number)
    save_flac(chapters / "84" / "121550" / "84-121550-0000.flac", 2)
    save(chapters / "84" / "121123" / "84-121123.trans.txt", b"84-121123-0000 GO\n84-121123-0001 OH ME\n")
    save(chapters / "84" / "121550" / "84-121550.trans.txt", b"84-121550-0000 BUT WITH FULL RAVISHMENT\n")
    return chapters


def test_librispeech(librispeech: Path) -> None:
    found = import_from(read_librispeech, librispeech, pairing=SPEECH_TO_TEXT, lowercase=True)
    assert found.keys == ["84-121123-0000", "84-121123-0001", "84-121550-0000"]
    assert shown(found.documents[1]) == ["* audio 0.1s", "* 'oh me'"]
    assert found.documents[1].source == "data_audio_to_text"
    assert found.told.steps == sum(found.told.done) == 3
    found = import_from(read_librispeech, librispeech, pairing=SPEECH_TO_TEXT)
    assert shown(found.documents[1])[1] == "* 'OH ME'"


def test_librispeech_with_holes(librispeech: Path) -> None:
    transcript = librispeech / "84" / "121550" / "84-121550.trans.txt"
    save(transcript, b"84-121550-0000 A\n84-121550-0001 B\n84-121550-0002\n")
    save_flac(librispeech / "84" / "121550" / "84-121550-0002.flac", 3)
    save_flac(librispeech / "84" / "121550" / "84-121550-0003.flac", 4)
    save(librispeech / "84" / "121123" / "84-121123-0000.flac", b"fLaC no more")
    found = import_from(read_librispeech, librispeech, most=0.9, pairing=SPEECH_TO_TEXT)
    assert found.keys == ["84-121123-0001", "84-121550-0000"]
    assert "84-121123-0000.flac: damaged, cut off or no sound file" in found.aside[0][1]
    assert [error.removeprefix(f"{transcript}:") for _, error in found.aside[1:]] == [
        f"2: clip '84-121550-0001.flac': no such file in {transcript.parent}",
        "3: text is empty",
        "84-121550-0003.flac: no line for this clip",
    ]


def test_common_voice(tmp_path: Path) -> None:
    head = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"
    rows = [
        'a\tcommon_voice_en_1.mp3\t"Quoted," he said.\t2\t0\t\t\t\t\ten\t',
        "a\tcommon_voice_en_2.mp3\tTwo.\t2\t0\t\t\t\t\ten\t",
        "a\tgone.mp3\tThree.\t2\t0\t\t\t\t\ten\t",
        "a\tcommon_voice_en_2.mp3\t\t2\t0\t\t\t\t\ten\t",
    ]
    source = save(tmp_path / "en" / "train.tsv", "\n".join([head, *rows, ""]).encode())
    for number in (1, 2):
        path = tmp_path / "en" / "clips" / f"common_voice_en_{number}.mp3"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone(number, 0.3), SAMPLE_RATE, format="MP3")
    found = import_from(read_common_voice, source, most=0.5, pairing=SPEECH_TO_TEXT)
    assert found.keys == ["common_voice_en_1", "common_voice_en_2"]
    assert [shown(d)[1] for d in found.documents] == ["* '\"Quoted,\" he said.'", "* 'Two.'"]
    assert [error for _, error in found.aside] == [
        f"{source}:4: clip 'gone.mp3': no such file in {tmp_path}/en/clips",
        f"{source}:5: text is empty",
    ]
    save(source, b"path\ttext\na.mp3\ta\n")
    with pytest.raises(ValueError, match=r"no column sentence; there are \['path', 'text'\]"):
        import_from(read_common_voice, source, pairing=SPEECH_TO_TEXT)


def test_ljspeech(tmp_path: Path) -> None:
    lines = [
        'LJ001-0001|"in 1455," he said|"in fourteen fifty-five," he said',
        "LJ001-0002|only once",
        "LJ001-0003",
        "LJ001-0004|gone|gone",
        "LJ001-0005|10||",
    ]
    source = save(tmp_path / "LJSpeech-1.1" / "metadata.csv", "\n".join(lines).encode()).parent
    for number in (1, 2, 3, 5):
        save_clip(source / "wavs" / f"LJ001-000{number}.wav", number)
    found = import_from(read_ljspeech, source, most=0.9, pairing=SPEECH_TO_TEXT)
    assert found.keys == ["LJ001-0001", "LJ001-0002"]
    assert [shown(d)[1] for d in found.documents] == [
        "* '\"in fourteen fifty-five,\" he said'",
        "* 'only once'",
    ]
    assert [error.removeprefix(f"{source}/metadata.csv:") for _, error in found.aside] == [
        "3: expected id|words or id|words|words written out, got 1 fields",
        f"4: clip 'LJ001-0004.wav': no such file in {source}/wavs",
        "5: expected id|words or id|words|words written out, got 4 fields",
    ]


def test_digits(tmp_path: Path) -> None:
    source = tmp_path / "recordings"
    for name in ("0_george_0", "7_theo_12", "x_theo_1", "7_theo"):
        save_clip(source / f"{name}.wav", len(name))
    found = import_from(read_digits, source, most=0.5, pairing=SPEECH_TO_TEXT)
    assert [(d.key, d.label, shown(d)) for d in found.documents] == [
        ("0_george_0", "zero", ["* audio 0.1s", "* 'zero'"]),
        ("7_theo_12", "seven", ["* audio 0.1s", "* 'seven'"]),
    ]
    why = "the name isn't {digit}_{speaker}_{take}.wav with a digit from 0 to 9"
    assert found.aside == [(f"{n}.wav", f"{source}:{n}.wav: {why}") for n in ("7_theo", "x_theo_1")]


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (read_librispeech, r"no \*\.trans\.txt in this folder"),
        (read_common_voice, "no such file; expected a table such as train.tsv"),
        (read_ljspeech, "no metadata.csv in this folder"),
        (read_digits, r"no files \*\.wav in this folder"),
    ],
)
def test_an_empty_folder_is_an_error(tmp_path: Path, read: Reader, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_from(read, tmp_path, pairing=SPEECH_TO_TEXT)
