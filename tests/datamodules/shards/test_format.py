"""A document as members of a tar, shown whole, and what is said of damaged ones."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.shards.format import DocumentError, from_members, to_members
from omni.media import encode_png
from omni.sequence import ROLES, Audio, Document, Image, Segment, Text
from omni.tokenizers.audio.arrays import npy_bytes
from tests.tiny import SAMPLE_RATE, picture, tone

WORKED = Document(
    (
        Image(picture(7, height=8, width=12), role="user", loss=False),
        Text("plus", role="user", loss=False),
        Audio(tone(2, seconds=0.1), SAMPLE_RATE, role="user", loss=False),
        Text("nine", role="assistant"),
    ),
    key="000007",
    source="sum",
    label="nine",
)


def wav(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def test_members_of_a_document() -> None:
    members = to_members(WORKED)
    assert sorted(members) == ["0.png", "2.flac", "json"]
    assert json.loads(members["json"]) == {
        "version": 1,
        "id": "000007",
        "source": "sum",
        "label": "nine",
        "segments": [
            {"type": "image", "file": "0.png", "width": 12, "height": 8, "role": "user", "loss": False},
            {"type": "text", "text": "plus", "role": "user", "loss": False},
            {
                "type": "audio",
                "file": "2.flac",
                "sample_rate": 8000,
                "samples": 800,
                "role": "user",
                "loss": False,
            },
            {"type": "text", "text": "nine", "role": "assistant", "loss": True},
        ],
    }
    assert members["0.png"][:4] == b"\x89PNG"
    assert members["2.flac"][:4] == b"fLaC"


def assert_same(found: Document, expected: Document) -> None:
    assert (found.key, found.source, found.label) == (expected.key, expected.source, expected.label)
    assert len(found.segments) == len(expected.segments)
    for mine, theirs in zip(found.segments, expected.segments, strict=True):
        assert (type(mine), mine.role, mine.loss) == (type(theirs), theirs.role, theirs.loss)
        if isinstance(mine, Text) and isinstance(theirs, Text):
            assert mine.text == theirs.text
        elif isinstance(mine, Image) and isinstance(theirs, Image):
            np.testing.assert_array_equal(mine.pixels, theirs.pixels)
        elif isinstance(mine, Audio) and isinstance(theirs, Audio):
            assert mine.sample_rate == theirs.sample_rate
            np.testing.assert_allclose(mine.waveform, theirs.waveform, atol=2.0**-15)  # 16 bits


TURNS = {"role": st.sampled_from([None, *ROLES]), "loss": st.booleans()}
SIDES = st.integers(1, 20)
SEGMENTS: st.SearchStrategy[Segment] = st.one_of(
    st.builds(Text, st.text(st.characters(exclude_categories=["Cs"])), **TURNS),
    st.builds(Image, st.builds(picture, st.integers(0, 9), SIDES, SIDES), **TURNS),
    st.builds(
        Audio,
        st.floats(0.001, 0.1).map(lambda seconds: tone(3, seconds)),
        st.sampled_from([8000, 44100]),
        **TURNS,
    ),
)


@settings(max_examples=50)
@given(st.lists(SEGMENTS, min_size=1, max_size=4), st.text(max_size=5), st.none() | st.just("nine"))
def test_a_document_comes_back(segments: list[Segment], source: str, label: str | None) -> None:
    document = Document(tuple(segments), key="a b/c", source=source, label=label)
    found = from_members("a b/c", to_members(document), "train-0.tar")
    assert_same(found, document)
    assert found.where == "train-0.tar[a b/c]"


def test_what_may_be_left_out() -> None:
    head = {"version": 1, "segments": [{"type": "image", "file": "x.png"}, {"type": "text", "text": ""}]}
    members = {"json": json.dumps(head).encode(), "x.png": encode_png(picture(1))}
    found = from_members("k", members, "s.tar")
    assert_same(found, Document((Image(picture(1)), Text("")), key="k", source="unknown", label=None))


def test_codes_are_taken_where_the_codec_is_the_same() -> None:
    clip = {"type": "audio", "file": "0.flac", "codes": "0.npy", "codec": "fingerprint"}
    codes = np.array([[1, 2, 3], [4, 5, 65535]], np.uint16)
    members = to_members(Document((Audio(tone(1), SAMPLE_RATE),))) | {"0.npy": npy_bytes(codes)}
    members["json"] = json.dumps({"version": 1, "segments": [clip]}).encode()
    same, other, none = (from_members("k", members, "s.tar", c) for c in ("fingerprint", "other", None))
    assert isinstance(same.segments[0], Audio) and same.segments[0].codes is not None
    assert same.segments[0].codes.tolist() == codes.tolist()
    assert [d.segments[0].codes for d in (other, none) if isinstance(d.segments[0], Audio)] == [None, None]


IMAGE = {"type": "image", "file": "0.png", "role": "user"}
AUDIO = {"type": "audio", "file": "0.wav"}
NAN = np.array([0.0, np.nan, 0.0])


@pytest.mark.parametrize(
    ("head", "media", "field", "message"),
    [
        (
            {"segments": [{"type": "vido"}]},
            {},
            "segments[0].type",
            "unknown modality 'vido', expected one of",
        ),
        ({"segments": [{"type": "imag"}]}, {}, "segments[0].type", "did you mean 'image'?"),
        ({"segments": [{"text": "a"}]}, {}, "segments[0].type", "expected a string, got nothing"),
        ({"segments": [{"type": ["text"]}]}, {}, "segments[0].type", 'expected a string, got ["text"]'),
        ({"segments": ["text"]}, {}, "segments[0]", 'expected an object, got "text"'),
        ({"segments": []}, {}, "segments", "expected a list with at least one segment, got []"),
        ({"segments": {"type": "text"}}, {}, "segments", "expected a list with at least one segment, got {"),
        ({}, {}, "segments", "expected a list with at least one segment, got nothing"),
        ({"version": 2}, {}, "version", "expected 1, got 2"),
        ({"version": None}, {}, "version", "expected 1, got null"),
        ({"source": 3}, {}, "source", "expected a string, got 3"),
        ({"label": 7}, {}, "label", "expected a string, got 7"),
        ({"segments": [{"type": "text"}]}, {}, "segments[0].text", "expected a string, got nothing"),
        ({"segments": [{"type": "text", "text": "\ud800"}]}, {}, "segments[0].text", "not Unicode text"),
        (
            {"segments": [{"type": "text", "text": "a", "role": "bot"}]},
            {},
            "segments[0].role",
            "expected one of ['system', 'user', 'assistant'] or null, got \"bot\"",
        ),
        (
            {"segments": [{"type": "text", "text": "a", "loss": "false"}]},
            {},
            "segments[0].loss",
            'expected true or false, got "false"',
        ),
        ({"segments": [{"type": "image"}]}, {}, "segments[0].file", "expected a string, got nothing"),
        (
            {"segments": [{"type": "text", "text": "a"}, IMAGE]},
            {"1.png": b""},
            "segments[1].file '0.png'",
            "media file '0.png' is missing, the document has ['1.png', 'json']",
        ),
        ({"segments": [IMAGE]}, {"0.png": b""}, "segments[0].file '0.png'", "0 bytes: not a picture"),
        (
            {"segments": [IMAGE]},
            {"0.png": encode_png(picture(1, 64, 64))[:-200]},
            "segments[0].file '0.png'",
            "not a readable picture",
        ),
        (
            {"segments": [IMAGE | {"width": 9}]},
            {"0.png": encode_png(picture(1))},
            "segments[0].width",
            "the JSON says 9, the file has 8",
        ),
        (
            {"segments": [AUDIO]},
            {"0.wav": wav(np.zeros(0))},
            "segments[0].file '0.wav'",
            "zero-length audio",
        ),
        (
            {"segments": [AUDIO]},
            {"0.wav": wav(NAN)},
            "segments[0].file '0.wav'",
            "1 of 3 samples are NaN or infinite",
        ),
        ({"segments": [AUDIO]}, {"0.wav": b"RIFF"}, "segments[0].file '0.wav'", "no sound file"),
        (
            {"segments": [AUDIO | {"samples": 801}]},
            {"0.wav": wav(np.zeros(800))},
            "segments[0].samples",
            "the JSON says 801, the file has 800",
        ),
        (
            {"segments": [AUDIO | {"codec": "ours", "codes": "0.npy"}]},
            {"0.wav": wav(np.zeros(800))},
            "segments[0].codes '0.npy'",
            "media file '0.npy' is missing",
        ),
        (
            {"segments": [AUDIO | {"codec": "ours", "codes": "0.npy"}]},
            {"0.wav": wav(np.zeros(800)), "0.npy": b""},
            "segments[0].codes '0.npy'",
            "0 bytes, no .npy file of numbers, or damaged",
        ),
        (
            {"segments": [AUDIO | {"codec": "ours", "codes": "0.npy"}]},
            {"0.wav": wav(np.zeros(800)), "0.npy": npy_bytes(np.zeros(3))},
            "segments[0].codes '0.npy'",
            "expected integers (frames, codebooks), got float64 (3,)",
        ),
    ],
)
def test_damage_is_named_by_shard_key_and_field(
    head: dict[str, Any], media: dict[str, bytes], field: str, message: str
) -> None:
    head = {"version": 1, "source": "digits", **head}
    members = {"json": json.dumps(head).encode(), **media}
    with pytest.raises(DocumentError) as caught:
        from_members("000007", members, "data/train-0.tar", codec="ours")
    assert str(caught.value).startswith(f"data/train-0.tar[000007].{field}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"version": 1', "not JSON (Expecting ',' delimiter"),
        (b"\xff", "not JSON ('utf-8' codec can't decode"),
        (b"[" * 100_000, "not JSON (maximum recursion depth exceeded"),
        (b"[1]", "expected a JSON object with segments, got [1]"),
    ],
    ids=["cut off", "not UTF-8", "too deep", "a list"],
)
def test_bad_json_is_named(content: bytes, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        from_members("000007", {"json": content}, "train-0.tar")
    assert str(caught.value).startswith("train-0.tar[000007].json: ")
    assert message in str(caught.value)


def test_a_document_without_json_is_named() -> None:
    with pytest.raises(DocumentError) as caught:
        from_members("000007", {"0.png": b""}, "train-0.tar")
    assert str(caught.value) == "train-0.tar[000007]: no 000007.json among its members ['0.png']"


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (Audio(np.zeros(0, np.float32), 8000), "clip to store: zero-length audio"),
        (Audio(np.array([np.nan], np.float32), 8000), "1 of 1 samples are NaN or infinite"),
        (Audio(np.zeros(8, np.float32), 500_001), "FLAC can't hold 500001 Hz"),
        (Image(np.zeros((0, 5, 3), np.uint8)), "empty image"),
    ],
    ids=["empty clip", "NaN", "rate", "empty picture"],
)
def test_what_cannot_be_stored_is_named(segment: Segment, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        to_members(Document((Text("a"), segment), key="000007"))
    assert str(caught.value).startswith("document[000007].segments[1]: ")
    assert message in str(caught.value)
