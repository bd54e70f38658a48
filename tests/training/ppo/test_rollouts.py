"""Rollouts are drawn from the policy that is trained, and mark what it chose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.datamodules.collate import collate
from omni.inference.engine import Engine
from omni.inference.options import SamplingOptions
from omni.inference.request import Request
from omni.modality import AUDIO, IMAGE, TEXT
from omni.nn.noise import Noise
from omni.sequence import Audio, Document, Image, Text
from omni.training.log_probs import document_log_probs
from omni.training.ppo.rollouts import OWN, roll_out
from tests.tiny import picture, tiny_tokenizers
from tests.tiny_model import tiny_model

SHORT = SamplingOptions(
    temperature=1.0,
    audio_temperature=1.0,
    audio_guidance=1.0,
    image_guidance=1.0,
    image_steps=3,
    max_text=12,
    max_audio_seconds=0.2,
)
ASKED = Document(
    (Image(picture(3), role="user", loss=False), Text("which?", role="user", loss=False)), "asked"
)


def test_each_modality_is_answered_and_what_was_chosen_is_marked() -> None:
    model = tiny_model().train()
    text, image, audio = roll_out(model, tiny_tokenizers(), [(ASKED, m) for m in (TEXT, IMAGE, AUDIO)], SHORT)
    assert model.training, "left as it was"
    assert isinstance(image.answer[0], Image) and isinstance(audio.answer[0], Audio)
    for rollout in (text, image, audio):
        said = rollout.sequence
        start = int(np.flatnonzero(said.text_ids == tiny_tokenizers().text.role("assistant"))[0])
        assert not said.loss[: start + 1].any()
        answered = said.loss[start + 1 :]
        if rollout is text:
            assert answered.all()
        elif rollout is image:  # opening, rows, columns, patches, closing
            patches = int((said.modality[start:] == IMAGE.id).sum())
            assert answered.tolist() == [False, True, True, *[True] * patches, False]
        else:
            frames = int((said.modality == AUDIO.id).sum())
            assert answered.tolist() == [False, *[True] * frames, rollout.ended]


def test_the_policy_that_trains_gives_what_the_engine_drew() -> None:
    """So the ratio is 1 before the first update. The tokens' probabilities are those that the engine reports, over
    the whole vocabulary."""
    model, tokenizers = tiny_model(), tiny_tokenizers()
    rollouts = roll_out(model, tokenizers, [(ASKED, TEXT)] * 3, SHORT)
    batch = collate([[rollout.sequence for rollout in rollouts]])
    with torch.no_grad():
        found = document_log_probs(model, model(batch), batch, Noise.of_documents(batch))
    engine = Engine(model, tokenizers)
    for number, (rollout, row) in enumerate(zip(rollouts, found, strict=False)):
        options = SamplingOptions(**{**vars(SHORT), "seed": number, "logprobs": True})
        same = engine.submit(Request(prompt=ASKED.segments, want="text", options=options)).result()
        assert tuple(same.segments) == rollout.answer
        reported = sum(token.logprob for token in same.logprobs)
        assert row[TEXT.id].item() == pytest.approx(reported, abs=1e-3)


def test_another_distribution_is_refused() -> None:
    cooler = SamplingOptions(**{**vars(OWN), "temperature": 0.7})
    with pytest.raises(ValueError, match="rollouts are drawn from the policy itself: only image_steps"):
        roll_out(tiny_model(), tiny_tokenizers(), [(ASKED, TEXT)], cooler)
