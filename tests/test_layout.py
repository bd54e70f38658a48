"""The sequence format, shown whole: a reader learns it from the worked document below."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import ROLES, Audio, Document, Image, Segment, Sequence, Text
from tests.tiny import SAMPLE_RATE, picture, tiny_documents, tiny_tokenizers, tone

CODES = np.array([[1, 2, 3], [4, 5, 6]])
WORKED = Document(
    (
        Image(picture(6, height=8, width=12), role="user", loss=False),
        Text("a digit?", role="user", loss=False),
        Text("six", role="assistant"),
        Audio(tone(6, seconds=0.08), SAMPLE_RATE, CODES, role="assistant"),
    ),
    key="000006",
)


def layout() -> Layout:
    return Layout(tiny_tokenizers())


def shown(sequence: Sequence) -> list[str]:
    """Each position: the piece of a text position, ``P`` for a patch, the codes of a frame."""
    pieces = tiny_tokenizers().text.pieces
    codes = iter(sequence.codes.tolist())
    show = {
        TEXT.id: lambda token: pieces.id_to_piece(int(token)),
        IMAGE.id: lambda token: "P",
        AUDIO.id: lambda token: str(next(codes)),
    }
    return [show[int(m)](token) for m, token in zip(sequence.modality, sequence.text_ids, strict=True)]


def test_worked_document() -> None:
    """``[user: picture of 2x3 patches, "a digit?"] [assistant: "six", a clip of two frames]``."""
    sequence = layout().encode(WORKED)
    # fmt: off
    expected = [
        # position         time row col  learned
        ("<|begin|>",        0,  0,  0,  0),
        ("<|user|>",         1,  1,  1,  0),
        ("<|image|>",        2,  2,  2,  0),
        ("<|size:2|>",       3,  3,  3,  0),  # rows
        ("<|size:3|>",       4,  4,  4,  0),  # columns
        ("P",                5,  5,  5,  0),  # patches share the time and spread over rows and columns
        ("P",                5,  5,  6,  0),
        ("P",                5,  5,  7,  0),
        ("P",                5,  6,  5,  0),
        ("P",                5,  6,  6,  0),
        ("P",                5,  6,  7,  0),
        ("<|/image|>",       8,  8,  8,  0),  # after the larger side: 5 + 3
        ("a",                9,  9,  9,  0),
        ("▁digit",          10, 10, 10,  0),
        ("?",               11, 11, 11,  0),
        ("<|end|>",         12, 12, 12,  0),
        ("<|assistant|>",   13, 13, 13,  0),  # the answer begins here; nobody has to guess who speaks
        ("s",               14, 14, 14,  1),
        ("i",               15, 15, 15,  1),
        ("x",               16, 16, 16,  1),
        ("<|audio|>",       17, 17, 17,  1),
        ("[1, 2, 3]",       18, 18, 18,  1),
        ("[4, 5, 6]",       19, 19, 19,  1),
        ("<|/audio|>",      20, 20, 20,  1),  # predicted by the audio head, as the end of the clip
        ("<|end|>",         21, 21, 21,  1),
    ]
    # fmt: on
    found = [
        (name, *coords, int(loss))
        for name, coords, loss in zip(
            shown(sequence), sequence.coords.tolist(), sequence.loss.tolist(), strict=True
        )
    ]
    assert found == expected
    assert sequence.patches.shape == (6, 16)
    assert sequence.target_counts().tolist() == [5, 0, 3]
    assert sequence.key == "000006"


def test_worked_document_comes_back() -> None:
    decoded = layout().decode(layout().encode(WORKED))
    assert_same(decoded, replace(WORKED, source="unknown"))


def test_running_text_has_no_markers_but_begin_and_end() -> None:
    sequence = layout().encode(Document((Text("a digit?"), Text(" sum"))))
    assert shown(sequence) == ["<|begin|>", "a", "▁digit", "?", "▁sum", "<|end|>"]
    assert sequence.loss.astype(int).tolist() == [0, 1, 1, 1, 1, 1]


def test_a_picture_to_learn_is_learned_but_for_its_closing_marker() -> None:
    sequence = layout().encode(Document((Image(picture(1, 4, 8)),)))
    assert shown(sequence) == [
        *("<|begin|>", "<|image|>", "<|size:1|>", "<|size:2|>", "P", "P", "<|/image|>", "<|end|>")
    ]
    assert sequence.loss.astype(int).tolist() == [0, 1, 1, 1, 1, 1, 0, 1]


def test_turns_of_nobody_and_of_somebody() -> None:
    document = Document((Text("a"), Text("e", role="user"), Text("i"), Text("o", role="system")))
    assert shown(layout().encode(document)) == [
        *("<|begin|>", "a", "<|user|>", "e", "<|end|>", "i", "<|system|>", "o", "<|end|>")
    ]
    assert layout().decode(layout().encode(document)).segments == document.segments


def test_an_empty_turn_comes_back() -> None:
    document = Document((Text("", role="system", loss=False), Text("a", role="user"), Text("")))
    sequence = layout().encode(document)
    assert shown(sequence) == [*("<|begin|>", "<|system|>", "<|end|>", "<|user|>", "a", "<|end|>", "<|end|>")]
    assert layout().decode(sequence).segments == document.segments[:2]
    assert layout().decode(layout().encode(Document((Text(""),)))).segments == (Text(""),)


def assert_same(found: Document, expected: Document) -> None:
    """Equal up to what resizing and the codec change: sizes of pictures, samples of clips."""
    assert (found.key, len(found.segments)) == (expected.key, len(expected.segments))
    tokenizers = tiny_tokenizers()
    for mine, theirs in zip(found.segments, expected.segments, strict=True):
        assert (mine.modality, mine.role, mine.loss) == (theirs.modality, theirs.role, theirs.loss)
        if isinstance(mine, Text) and isinstance(theirs, Text):
            assert mine.text == theirs.text
        elif isinstance(mine, Image) and isinstance(theirs, Image):
            patches, rows, cols = tokenizers.image.encode(theirs.pixels)
            np.testing.assert_array_equal(mine.pixels, tokenizers.image.decode(patches, rows, cols))
        elif isinstance(mine, Audio) and isinstance(theirs, Audio):
            assert mine.codes is not None
            np.testing.assert_array_equal(mine.codes, tokenizers.audio.encode_audio(theirs))
            assert mine.sample_rate == tokenizers.audio.sample_rate
            assert len(mine.waveform) == len(mine.codes) * tokenizers.audio.samples_per_frame


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=12)
TURNS = {"role": st.sampled_from([None, *ROLES]), "loss": st.booleans()}
SEGMENTS: st.SearchStrategy[Segment] = st.one_of(
    st.builds(Text, TEXTS | st.sampled_from(["<|image|>", "<|end|>", "<|size:1|>", " ", ""]), **TURNS),
    st.builds(
        Image,
        st.builds(picture, st.integers(0, 9), st.integers(1, 30), st.integers(1, 30)),
        **TURNS,
    ),
    st.builds(
        Audio,
        st.just(np.zeros(1, np.float32)),
        st.just(SAMPLE_RATE),
        st.integers(1, 5).map(lambda frames: np.arange(3 * frames).reshape(frames, 3) % 16),
        **TURNS,
    ),
)


@settings(max_examples=60)
@given(st.lists(SEGMENTS, min_size=1, max_size=6))
def test_decode_is_the_inverse_of_encode(segments: list[Segment]) -> None:
    document = Document(tuple(segments), key="000042")
    sequence = layout().encode(document)
    assert_same(layout().decode(sequence), document.merged())
    assert not sequence.loss[0]
    assert (sequence.coords[1:, 0] >= sequence.coords[:-1, 0]).all(), "time never runs back"


def test_tiny_documents_come_back_through_the_codec() -> None:
    for document in tiny_documents(8):
        decoded = layout().decode(layout().encode(document))
        assert_same(decoded, replace(document.merged(), key=document.key))


def malformed(start: int, stop: int) -> Sequence:
    """The worked document without the positions from ``start`` to ``stop``, and with as much content."""
    whole = layout().encode(WORKED)
    keep = np.r_[0:start, stop : len(whole)]
    return Sequence(
        modality=whole.modality[keep],
        text_ids=whole.text_ids[keep],
        coords=whole.coords[keep],
        loss=whole.loss[keep],
        patches=whole.patches[: int((whole.modality[keep] == IMAGE.id).sum())],
        codes=whole.codes[: int((whole.modality[keep] == AUDIO.id).sum())],
        key="000006",
    )


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (2, 3, "<|size:2|> at position 2 closes or announces nothing"),
        (3, 4, "no grid size after the image marker at position 2"),
        (4, 5, "no grid size after the image marker at position 2"),
        (2, 5, "position 2 is not opened by a marker"),
        (5, 6, "the clip at position 5 is empty, or not 6 positions"),
        (11, 12, "the clip at position 5 is empty, or not 6 positions"),
        (2, 11, "<|/image|> at position 2 closes or announces nothing"),
        (20, 21, "position 20 is not opened by a marker"),
        (21, 23, "the clip at position 21 is empty"),
        (23, 24, "the clip at position 21 is empty, or not 2 positions"),
        (23, 25, "the clip at position 21 is empty, or not 2 positions"),
    ],
    ids=[
        "no image marker",
        "no rows",
        "no columns",
        "patches alone",
        "a patch missing",
        "image not closed",
        "image closed only",
        "no audio marker",
        "no frames",
        "audio not closed",
        "cut off",
    ],
)
def test_positions_against_the_grammar_are_refused(start: int, stop: int, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        layout().decode(malformed(start, stop))
    assert str(caught.value).startswith("000006: ")
    assert message in str(caught.value)


def test_positions_without_content_are_refused() -> None:
    whole = layout().encode(WORKED)
    with pytest.raises(ValueError, match="000006: 6 image positions, but content for 5"):
        layout().decode(replace(whole, patches=whole.patches[:5]))
    with pytest.raises(ValueError, match="000006: 2 audio positions, but content for 1"):
        layout().decode(replace(whole, codes=whole.codes[:1]))


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (Audio(np.zeros(0, np.float32), 8000), "zero-length audio"),
        (Audio(np.full(80, np.nan, np.float32), 8000), "80 of 80 samples are NaN or infinite"),
        (Audio(tone(1), 8000, np.zeros((2, 4), np.int64)), "shape (2, 4), expected (frames, 3)"),
        (Audio(tone(1), 8000, np.full((2, 3), 16)), "audio code 16 at frame 0, codebook 0: expected 0 to 15"),
        (Audio(tone(1), 8000, np.zeros((0, 3), np.int64)), "zero-length audio"),
        (Image(np.zeros((0, 4, 3), np.uint8)), "a picture needs at least one pixel, got 0 x 4"),
        (Text("\ud800"), "surrogates not allowed"),
    ],
    ids=["empty clip", "NaN", "other codec", "code too large", "no codes", "empty picture", "no Unicode"],
)
def test_what_cannot_be_encoded_is_refused_by_document_and_segment(segment: Segment, message: str) -> None:
    document = Document((Text("which?"), segment), key="000007", shard="train-0.tar")
    with pytest.raises(ValueError) as caught:
        layout().encode(document)
    assert str(caught.value).startswith(f"train-0.tar[000007]: segment 1 ({segment.modality.name}): ")
    assert message in str(caught.value)
