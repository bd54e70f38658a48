"""The table of modalities: its rows, and what a wrong name is answered with."""

from __future__ import annotations

import pytest

from omni.modality import MODALITIES, Modality, modality_named


def test_ids_are_places_in_the_table() -> None:
    assert [(m.id, m.name) for m in MODALITIES] == [(0, "text"), (1, "image"), (2, "audio")]


def test_only_text_needs_no_markers_and_no_files() -> None:
    assert [(m.opening, m.closing, m.media_suffix, m.answer_suffix) for m in MODALITIES] == [
        (None, None, None, None),
        ("<|image|>", "<|/image|>", "png", "png"),
        ("<|audio|>", "<|/audio|>", "flac", "wav"),
    ]


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda m: m.name)
def test_each_modality_is_found_by_its_name(modality: Modality) -> None:
    assert modality_named(modality.name) is modality


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        (
            "imgae",
            "shard-0.tar[000001].segments[2]",
            "shard-0.tar[000001].segments[2]: unknown modality 'imgae', "
            "expected one of ['text', 'image', 'audio']; did you mean 'image'?",
        ),
        (
            "Audio",
            "",
            "unknown modality 'Audio', expected one of ['text', 'image', 'audio']; did you mean 'audio'?",
        ),
        ("video", "", "unknown modality 'video', expected one of ['text', 'image', 'audio']"),
    ],
)
def test_a_wrong_name_is_told_the_place_the_choices_and_the_nearest_match(
    name: str, where: str, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        modality_named(name, where)
    assert str(caught.value) == message
