"""Rewards judge decoded answers: by the label, by a judge of their modality, by a reward model."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace

import pytest
import torch

from omni.checkpoint import vocabulary_of
from omni.datamodules.collate import collate
from omni.evaluation.judges.verdict import NOTHING, Verdict
from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, MODALITIES, TEXT, Modality
from omni.sequence import Audio, Document, Image, Segment, Text
from omni.training.reward import RewardModel
from omni.training.rewards.judged import ExactMatch, JudgeReward
from omni.training.rewards.learned import LearnedReward
from omni.training.rewards.protocol import Reward, part_of
from tests.tiny import SAMPLE_RATE, picture, tiny_tokenizers, tone
from tests.tiny_model import shake, tiny_config

PROMPT = Document((Text("which?", role="user", loss=False),), key="asked", label="seven")
PICTURE, CLIP = Image(picture(7)), Audio(tone(7), SAMPLE_RATE)


class Brevity:
    """Short texts are good, and whatever isn't text is as good as another."""

    def __call__(self, prompt: Document, answer: Seq[Segment], modality: Modality) -> float:
        if modality is not TEXT:
            return 0.0
        words = sum(len(s.text.split()) for s in answer if isinstance(s, Text))
        return 1.0 / (1 + words)


class WidthJudge:
    """Sees a seven in whatever is eight pixels wide."""

    def judge(self, answers: Seq[Image]) -> list[Verdict]:
        return [Verdict("Seven") if answer.pixels.shape[1] == 8 else NOTHING for answer in answers]


def test_the_users_example_is_a_reward() -> None:
    reward: Reward = Brevity()
    assert isinstance(reward, Reward)
    assert reward(PROMPT, [Text("one two three")], TEXT) == 0.25


def test_exact_match_reads_text_only() -> None:
    reward = ExactMatch()
    assert reward(PROMPT, [Text(" SEVEN\n")], TEXT) == 1
    assert reward(PROMPT, [Text("eleven")], TEXT) == 0
    assert reward(PROMPT, [PICTURE, Text("seven")], IMAGE) == 0


def test_a_judge_looks_at_what_was_asked_for() -> None:
    reward = JudgeReward({IMAGE: WidthJudge()})
    assert reward(PROMPT, [Text("here:"), PICTURE], IMAGE) == 1
    assert reward(PROMPT, [Image(picture(7, width=12))], IMAGE) == 0
    assert reward(PROMPT, [Text("seven")], IMAGE) == 0, "a text in place of a picture"
    assert reward(PROMPT, [Text("Seven")], TEXT) == 1
    with pytest.raises(ValueError, match="no judge of audio, only of"):
        reward(PROMPT, [CLIP], AUDIO)
    with pytest.raises(ValueError, match=r"\[asked\]: no label"):
        reward(replace(PROMPT, label=None), [PICTURE], IMAGE)


def test_the_last_part_of_a_modality_counts() -> None:
    assert part_of([Text("a"), PICTURE, Text("b")], TEXT) == Text("b")
    assert part_of([Text("a")], AUDIO) is None


def test_a_learned_reward_depends_on_the_answer_alone_and_is_normalised_by_modality() -> None:
    tokenizers = tiny_tokenizers()
    model = RewardModel(tiny_config(), vocabulary_of(tokenizers))
    model.initialise(0)
    shake(model)
    reward = LearnedReward(model, Layout(tokenizers), collate)
    answers: list[tuple[Segment, Modality]] = [(Text("seven"), TEXT), (PICTURE, IMAGE), (CLIP, AUDIO)]
    asked = [(PROMPT, [answer], modality) for answer, modality in answers]
    raw = reward.many(asked)
    assert raw == pytest.approx([reward(*one) for one in asked], abs=1e-5)
    assert len({round(value, 3) for value in raw}) == 3
    mean = torch.tensor([2.0, -1.0, 0.5])
    model.reward_head.moments.copy_(torch.stack([torch.full((3,), 10.0), 10 * mean, 10 * (mean**2 + 4)]))
    wanted = [(value - mean[m.id].item()) / 2 for value, m in zip(raw, MODALITIES, strict=True)]
    assert reward.many(asked) == pytest.approx(wanted, abs=1e-4)
