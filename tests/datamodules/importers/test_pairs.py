"""A picture or clip with its text: directions, prompts, turns."""

from __future__ import annotations

import pytest

from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Audio, Image
from tests.datamodules.importers.imported import shown
from tests.tiny import SAMPLE_RATE, picture, tone

CAT = Image(picture(1, 6, 5))
MEOW = Audio(tone(1, 0.1), SAMPLE_RATE)


def test_without_a_prompt_it_is_running_content_and_all_of_it_is_learned() -> None:
    document = Pairing(source="cats", direction="image-to-text").document("1", CAT, " a cat ")
    assert shown(document) == ["* image 5x6", "* 'a cat'"]
    assert (document.key, document.source) == ("1", "cats_image_to_text")
    document = Pairing(source="cats", direction="text-to-audio").document("1", MEOW, "meow", label="meow")
    assert shown(document) == ["* 'meow'", "* audio 0.1s"]
    assert (document.source, document.label) == ("cats_text_to_audio", "meow")


def test_with_a_prompt_it_is_a_question_and_the_answer_alone_is_learned() -> None:
    pairing = Pairing(source="cats", direction="image-to-text", prompt_for_text="What is it?")
    assert shown(pairing.document("1", CAT, "a cat")) == [
        "user image 5x6",
        "user 'What is it?'",
        "* assistant 'a cat'",
    ]
    pairing = Pairing(source="cats", direction="text-to-audio", prompt_for_media="Say:")
    assert shown(pairing.document("1", MEOW, "meow")) == ["user 'Say: meow'", "* assistant audio 0.1s"]


def test_both_takes_a_direction_for_each_key_and_always_the_same() -> None:
    pairing = Pairing(source="cats")
    sources = [pairing.document(f"{n:06d}", CAT, "a").source for n in range(400)]
    assert sources == [pairing.document(f"{n:06d}", CAT, "a").source for n in range(400)]
    assert set(sources) == {"cats_image_to_text", "cats_text_to_image"}
    assert 160 < sources.count("cats_image_to_text") < 240


def test_an_empty_text_is_damage_and_another_medium_s_direction_is_an_error() -> None:
    with pytest.raises(DocumentError, match="text is empty"):
        Pairing(source="cats").document("1", CAT, " ")
    with pytest.raises(
        ValueError, match="'audio-to-text': expected one of image-to-text, text-to-image, both"
    ):
        Pairing(source="cats", direction="audio-to-text").document("1", CAT, "a")
