"""Stages that answer as one system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.baselines.cascade import Cascade, read_stages, write_stages
from omni.baselines.systems import open_system
from omni.baselines.transcripts import STAGES, in_words
from omni.export import write_export
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.modality import ModalityName
from omni.nn.config import AudioHeadConfig, ImageHeadConfig
from omni.sequence import Audio, Image, Segment, Text
from tests.inference.test_generate import same
from tests.tiny import SAMPLE_RATE, picture, tiny_tokenizers, tone
from tests.tiny_model import tiny_model

OPTIONS = SamplingOptions(max_text=6, image_steps=2, image_guidance=1.0, max_audio_seconds=0.2)


def stage(name: str, number: int) -> Omni:
    """A model that generates what the stage has to, and nothing else."""
    heads = {
        "image": ImageHeadConfig(width=24, depth=1, generate=name.endswith("_image")),
        "audio": AudioHeadConfig(width=24, depth=1, generate=name.endswith("_audio")),
    }
    return Omni(tiny_model(seed=number, **heads), tiny_tokenizers())


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade({name: stage(name, number) for number, name in enumerate(STAGES)})


def said(answer: list[Segment]) -> str:
    (text,) = answer
    assert isinstance(text, Text)
    return text.text


def test_each_stage_gets_what_the_one_before_said(cascade: Cascade) -> None:
    image, clip = Image(picture(3)), Audio(tone(4), SAMPLE_RATE)
    answer = cascade.generate([image, Text(" plus "), clip, Text("?")], "audio", OPTIONS)
    stages = cascade.stages
    seen = said(stages["image_to_text"].generate([image], "text", OPTIONS))
    heard = said(stages["audio_to_text"].generate([clip], "text", OPTIONS))
    assert seen != heard
    (asked,) = in_words([image, Text(" plus "), clip, Text("?")], [seen, heard])
    answered = said(stages["text_to_text"].generate([asked], "text", OPTIONS))
    expected = stages["text_to_audio"].generate([Text(answered)], "audio", OPTIONS)
    assert same(answer, expected)
    assert list(cascade.seconds) == ["image_to_text", "audio_to_text", "text_to_text", "text_to_audio"]
    assert all(seconds > 0 for seconds in cascade.seconds.values())


@pytest.mark.parametrize(("want", "kind"), [("text", Text), (None, Text), ("image", Image), ("audio", Audio)])
def test_the_wanted_modality_is_what_comes(cascade: Cascade, want: ModalityName | None, kind: type) -> None:
    prompts: list[list[Segment]] = [[Text("one")], [Image(picture(2)), Text("which?")], [Image(picture(5))]]
    answers = cascade.generate_batch(prompts, want, OPTIONS)
    assert [[type(segment) for segment in answer] for answer in answers] == [[kind]] * 3


def test_a_missing_stage_is_named(cascade: Cascade) -> None:
    deaf = Cascade({name: cascade.stages[name] for name in ("text_to_text", "image_to_text")})
    with pytest.raises(
        ValueError, match="the cascade has no stage audio_to_text; it has image_to_text, text_to_text"
    ):
        deaf.generate([Audio(tone(4), SAMPLE_RATE)])
    with pytest.raises(ValueError, match="no stage text_to_image"):
        deaf.generate([Text("draw")], "image")
    with pytest.raises(ValueError, match="a cascade needs the stage text_to_text, got image_to_text"):
        Cascade({"image_to_text": cascade.stages["image_to_text"]})


def test_a_folder_opens_as_a_cascade_and_a_checkpoint_as_a_model(tmp_path: Path) -> None:
    for number, name in enumerate(("text_to_text", "text_to_image")):
        one = stage(name, number)
        write_export(tmp_path / "stages" / name, one.model, one.tokenizers)
    folder = tmp_path / "joined"
    paths = {name: tmp_path / "stages" / name for name in ("text_to_text", "text_to_image")}
    write_stages(folder, paths)
    assert (
        json.loads((folder / "cascade.json").read_text())["stages"]["text_to_text"]
        == "../stages/text_to_text"
    )
    opened = open_system(folder)
    assert isinstance(opened, Cascade)
    (drawn,) = opened.generate([Text("draw")], "image", OPTIONS)
    assert isinstance(drawn, Image)
    assert isinstance(open_system(paths["text_to_text"]), Omni)


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cascade\.json: no such file; `omni cascade join` writes it"):
        read_stages(tmp_path)
    (tmp_path / "cascade.json").write_text('{"format": "else"}')
    with pytest.raises(ValueError, match="expected format 'omni cascade', version 1, and stages"):
        read_stages(tmp_path)
    with pytest.raises(
        ValueError, match="unknown stage 'think' of a cascade, expected some of image_to_text"
    ):
        write_stages(tmp_path, {"think": tmp_path})
    with pytest.raises(ValueError, match=r"text_to_text: .*nowhere: no such checkpoint"):
        write_stages(tmp_path, {"text_to_text": tmp_path / "nowhere"})
