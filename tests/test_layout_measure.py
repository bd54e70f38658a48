"""Measuring a document gives the figures of encoding it, and outlines give those of the documents themselves."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.format import from_members, media_in, to_members
from omni.datamodules.shards.outline import outline_from
from omni.layout import Layout
from omni.media import MediaError
from omni.sequence import ROLES, Audio, Document, Image, Segment, Text
from omni.tokenizers.bundle import Tokenizers
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from omni.tokenizers.text import TextTokenizer
from tests.tiny import SAMPLE_RATE, SENTENCES, picture, tiny_tokenizers, tone

LAYOUT = Layout(tiny_tokenizers())
CODEC = tiny_tokenizers().audio.fingerprint

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["", "<|end|>"])
TURNS = {"role": st.sampled_from([None, *ROLES]), "loss": st.booleans()}
SIDES = st.integers(1, 40) | st.sampled_from([1, 100, 333])
CODES = st.integers(1, 4).map(lambda frames: np.arange(3 * frames).reshape(frames, 3) % 16)
SEGMENTS: st.SearchStrategy[Segment] = st.one_of(
    st.builds(Text, TEXTS, **TURNS),
    st.builds(Image, st.builds(picture, st.integers(0, 9), SIDES, SIDES), **TURNS),
    st.builds(
        Audio,
        st.integers(1, 3000).map(lambda samples: np.zeros(samples, np.float32)),
        st.sampled_from([1000, 8000, 11025, 16000, 44100]),
        st.none() | CODES,
        **TURNS,
    ),
)


def unread(name: str) -> bytes:
    raise MediaError(f"{name} was read")


@settings(max_examples=80)
@given(st.lists(SEGMENTS, min_size=1, max_size=5))
def test_an_outline_measures_what_encoding_gives(segments: list[Segment]) -> None:
    document = Document(tuple(segments), key="a")
    sequence = LAYOUT.encode(document)
    head = json.loads(to_members(document, CODEC)["json"])
    outline = outline_from(head, "a.", unread, key="a", codec=CODEC)
    for measured in (document, outline):
        positions, targets = LAYOUT.measure(measured)
        assert positions.tolist() == np.bincount(sequence.modality, minlength=3).tolist()
        assert positions.sum() == len(sequence)
        assert targets.tolist() == sequence.target_counts().tolist()


def test_stored_codes_of_another_codec_do_not_count() -> None:
    clip = Audio(tone(1, 0.2), SAMPLE_RATE, np.zeros((9, 3), np.int64))
    members = to_members(Document((clip,), key="a"), "theirs")
    for codec, frames in ((CODEC, 5), ("theirs", 9)):
        outline = outline_from(json.loads(members["json"]), "a.", unread, key="a", codec=codec)
        assert LAYOUT.measure(outline)[0].tolist() == [4, 0, frames]
        assert LAYOUT.measure(from_members("a", members, "s.tar", codec))[0].tolist() == [4, 0, frames]


def turned_jpeg() -> bytes:
    """20 pixels wide and 8 high, to be shown turned by 90 degrees."""
    exif = PILImage.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PILImage.fromarray(picture(3, 8, 20)).save(buffer, format="JPEG", exif=exif)
    return buffer.getvalue()


def sound(kind: str, rate: int, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full((777, channels), 0.1, np.float32), rate, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("segment", "content"),
    [
        ({"type": "image", "file": "m"}, turned_jpeg()),
        ({"type": "image", "file": "m", "width": 8}, turned_jpeg()),
        ({"type": "audio", "file": "m"}, sound("FLAC", 8000)),
        ({"type": "audio", "file": "m", "samples": 777}, sound("WAV", 11025, channels=2)),
        ({"type": "audio", "file": "m"}, sound("OGG", 16000)),
        ({"type": "audio", "file": "m"}, sound("MP3", 16000)),
    ],
)
def test_where_the_json_lacks_sizes_the_header_is_read(segment: dict[str, Any], content: bytes) -> None:
    head = {"version": 1, "segments": [segment]}
    members = {"json": json.dumps(head).encode(), "m": content}
    outline = outline_from(head, "a.", media_in(members), key="a")
    found = from_members("a", members, "s.tar")
    assert LAYOUT.measure(outline)[0].tolist() == LAYOUT.measure(found)[0].tolist()
    assert LAYOUT.measure(found)[0].sum() == len(LAYOUT.encode(found))


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ({"type": "image", "width": 8, "height": 0}, "height: expected a positive integer, got 0"),
        ({"type": "image", "width": True, "height": 8}, "width: expected a positive integer, got true"),
        ({"type": "image", "width": 10**5, "height": 10**5}, "file 'm': 100000x100000 pixels, at most"),
        ({"type": "audio", "sample_rate": 8000, "samples": 10**9}, "file 'm': 125000 s of audio, at most"),
        ({"type": "image"}, "file 'm': no header of a picture"),
        ({"type": "audio"}, "file 'm': no sound file"),
    ],
)
def test_sizes_that_cannot_be_are_refused(segment: dict[str, Any], message: str) -> None:
    head = {"version": 1, "segments": [{"file": "m", **segment}]}
    with pytest.raises(DocumentError) as caught:
        outline_from(head, "s.tar[a].", media_in({"m": b"RIFF"}), key="a")
    assert str(caught.value).startswith("s.tar[a].segments[0].")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (Audio(np.zeros(0, np.float32), 8000), "zero-length audio"),
        (Audio(tone(1), 8000, np.zeros((2, 4), np.int64)), "shape (2, 4), expected (frames, 3)"),
        (Audio(tone(1), 8000, np.zeros((0, 3), np.int64)), "zero-length audio"),
        (Image(np.zeros((0, 0, 3), np.uint8)), "a picture needs at least one pixel, got 0 x 0"),
        (Text("\ud800"), "surrogates not allowed"),
    ],
)
def test_what_cannot_be_encoded_cannot_be_measured(segment: Segment, message: str) -> None:
    document = Document((Text("which?"), segment), key="000007", shard="train-0.tar")
    with pytest.raises(ValueError) as caught:
        LAYOUT.measure(document)
    assert str(caught.value).startswith(f"train-0.tar[000007]: segment 1 ({segment.modality.name}): ")
    assert message in str(caught.value)


def test_the_fingerprint_changes_with_all_that_decides_lengths() -> None:
    tiny = tiny_tokenizers()
    text = TextTokenizer.train(SENTENCES, vocab_size=331, max_grid=8)
    settings = [{"patch_size": 5}, {"max_patches": 15}, {"max_grid": 7}]
    images = [ImageTokenizer(ImageTokenizerConfig(**{**vars(tiny.image.config), **one})) for one in settings]
    others = [replace(tiny, text=text), *(replace(tiny, image=image) for image in images)]
    fingerprints = [Layout(one).fingerprint for one in (tiny, *others)]
    assert len(set(fingerprints)) == len(fingerprints)
    assert Layout(Tokenizers.from_files(tiny.files())).fingerprint == fingerprints[0]
