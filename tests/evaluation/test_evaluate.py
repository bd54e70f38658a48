"""A perfect model, a broken one and a lazy one, before the real judges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pytest

from omni.evaluation.evaluate import evaluate
from omni.evaluation.grading import Judges
from omni.evaluation.judges.digits import DigitJudge
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.evaluation.metrics.diversity import PictureYardstick
from omni.evaluation.metrics.text import ScoredText, UnigramBaseline
from omni.evaluation.tasks import split_prompt
from omni.sequence import Audio, Document, Image, Segment, Text, turn_of
from tests.evaluation.real import Clips, Pictures

COUNT = 60


def asked(source: str, number: int, question: Sequence[Segment], answer: Segment, label: str) -> Document:
    segments = turn_of(question, "user", False) + turn_of([answer], "assistant", True)
    return Document(segments, key=f"{source}-{number}", source=source, label=label)


@pytest.fixture(scope="module")
def documents(real_digits: tuple[Pictures, Pictures], real_speech: tuple[Clips, Clips]) -> list[Document]:
    """``COUNT`` held-out documents of four tasks."""
    clips_of: dict[str, list[Audio]] = {}
    for clip, word in zip(*real_speech[1], strict=True):
        clips_of.setdefault(word, []).append(clip)
    spoken = {word: cycle(clips) for word, clips in clips_of.items()}
    found = []
    for i, (picture, word) in enumerate(list(zip(*real_digits[1], strict=True))[::6]):  # of many hands
        clip = next(spoken[word])
        found += [
            asked("image_to_text", i, [picture, Text("which digit?")], Text(word), word),
            asked("text_to_image", i, [Text(f"draw {word}")], picture, word),
            asked("text_to_audio", i, [Text(f"say {word}")], clip, word),
            asked("audio_to_image", i, [clip, Text("draw it")], picture, word),
        ]
    return found


@pytest.fixture(scope="module")
def judges(
    digit_judge: DigitJudge,
    speech_judge: SpeechJudge,
    sphinx_judge: SphinxJudge,
    real_digits: tuple[Pictures, Pictures],
) -> Judges:
    yardstick = PictureYardstick(*real_digits[0], heldout=real_digits[1][0])
    return Judges(digits=digit_judge, speech=speech_judge, sphinx=sphinx_judge, pictures=yardstick)


class Knowing:
    """Answers every prompt with the document's own reference, and counts its batches."""

    def __init__(self, documents: Sequence[Document]) -> None:
        split = [split_prompt(document) for document in documents]
        self._reference = {id(prompt[0]): reference for prompt, reference in split}
        self.calls: list[tuple[int, str]] = []

    def __call__(self, prompts: list[Sequence[Segment]], want: str) -> list[list[Segment]]:
        self.calls.append((len(prompts), want))
        return [list(self._reference[id(prompt[0])]) for prompt in prompts]


def test_a_perfect_model(documents: list[Document], judges: Judges) -> None:
    model = Knowing(documents)
    seen: list[tuple[str, int, int]] = []
    result = evaluate(model, documents, judges, batch_size=40, progress=lambda *step: seen.append(step))
    figures = result.metrics
    assert figures["image_to_text_exact"] == 1
    assert figures["text_to_image_judged"] == figures["audio_to_image_judged"] >= 0.9
    assert figures["text_to_audio_judged"] >= 0.95
    assert figures["text_to_audio_pocketsphinx"] >= 0.6
    assert figures["text_to_image_diversity"] > 0.7
    assert figures["text_to_image_copies"] == figures["text_to_image_copies_real"] == 0
    assert model.calls == [(n, want) for want in ("text", "image", "audio", "image") for n in (40, 20)]
    assert seen[:3] == [("image_to_text", 40, 60), ("image_to_text", 60, 60), ("text_to_image", 40, 60)]
    low, high = result.intervals["text_to_audio_judged"]
    assert low < figures["text_to_audio_judged"] <= high
    assert result.counts["text_to_audio_judged"] == COUNT


def test_examples_tell_what_happened(documents: list[Document], judges: Judges) -> None:
    result = evaluate(Knowing(documents), documents[:4], judges)
    read, drawn, said, _ = result.examples
    assert read.key == "image_to_text-0"
    assert (read.reference_text, read.answer_text, read.correct) == (read.label, read.label, True)
    assert drawn.answer is documents[1].segments[-1]
    assert (drawn.answer_text, drawn.verdicts["digits"].answer) == ("<8x8 picture>", drawn.label)
    assert set(said.verdicts) == {"speech", "sphinx"}
    assert said.answer_text.endswith("s of sound>")
    assert result.of("text_to_audio") == (said,)


def test_a_broken_model(documents: list[Document], judges: Judges) -> None:
    def babble(prompts: list[Sequence[Segment]], want: str) -> list[list[Segment]]:
        """Text whatever is wanted, and silence for sound."""
        silence = Audio(np.zeros(4000, dtype=np.float32), 8000)
        return [[Text("?")] if want != "audio" else [Text("?"), silence] for _ in prompts]

    result = evaluate(babble, documents, judges)
    shares = [result.metrics[name] for name in result.intervals]
    assert len(shares) == 5
    assert set(shares) == {0.0}
    assert result.metrics["text_to_image_diversity"] == result.metrics["text_to_image_diversity_worst"] == 0
    assert "text_to_image_nearest" not in result.metrics  # no picture was drawn
    assert all(example.correct is False for example in result.examples)
    assert [example.answer for example in result.of("text_to_image")] == [None] * COUNT


def test_a_model_that_copies_one_picture_per_digit(
    documents: list[Document], judges: Judges, real_digits: tuple[Pictures, Pictures]
) -> None:
    learnt = dict(zip(real_digits[0][1], real_digits[0][0], strict=True))

    def copy(prompts: list[Sequence[Segment]], want: str) -> list[list[Segment]]:
        questions = [prompt[0] for prompt in prompts]
        return [[learnt[q.text.removeprefix("draw ")]] for q in questions if isinstance(q, Text)]

    result = evaluate(copy, [d for d in documents if d.source == "text_to_image"], judges)
    assert result.metrics["text_to_image_judged"] == 1
    assert result.metrics["text_to_image_diversity"] == pytest.approx(0)
    assert result.metrics["text_to_image_copies"] == 1


def test_figures_without_their_judge_are_left_out(documents: list[Document]) -> None:
    result = evaluate(Knowing(documents), documents, Judges())
    assert dict(result.metrics) == {"image_to_text_exact": 1}
    assert {example.correct for example in result.of("text_to_audio")} == {None}
    assert len(result.examples) == 4 * COUNT


def test_a_label_that_no_judge_knows_is_not_counted(digit_judge: DigitJudge) -> None:
    picture = Image(np.zeros((8, 8, 3), dtype=np.uint8))
    document = asked("text_to_image", 0, [Text("draw a cat")], picture, "cat")
    result = evaluate(Knowing([document]), [document], Judges(digits=digit_judge))
    assert dict(result.metrics) == {}
    assert result.examples[0].correct is None


def test_both_perplexities_are_over_the_same_tokens() -> None:
    documents = [Document((Text("aab"),), source="prose"), Document((Text("b"),), source="prose")]

    def score(batch: Sequence[Document]) -> ScoredText:
        text = "".join(s.text for d in batch for s in d.segments if isinstance(s, Text))
        ids_L = np.array([ord(letter) - ord("a") for letter in text])
        return ScoredText(ids_L, np.full(len(ids_L), np.log(2)))

    unigram = UnigramBaseline([np.array([0, 0])], vocabulary=2)  # 3 of 4 and 1 of 4
    result = evaluate(Knowing([]), documents, Judges(unigram=unigram), score_text=score, batch_size=1)
    assert result.metrics["text_perplexity"] == pytest.approx(2)
    assert result.metrics["unigram_perplexity"] == pytest.approx((4 / 3 * 4 / 3 * 4 * 4) ** (1 / 4))
    assert dict(result.counts) == {"text_perplexity": 4, "unigram_perplexity": 4}
    assert dict(evaluate(Knowing([]), documents, Judges()).metrics) == {}


def test_a_task_without_a_prompt_is_named() -> None:
    document = Document((Text("six"),), key="k7", source="image_to_text", shard="a.tar")
    with pytest.raises(ValueError, match=r"a\.tar\[k7\]: a document of 'image_to_text' needs a prompt"):
        evaluate(Knowing([]), [document], Judges())


def test_a_missing_answer_is_counted(documents: list[Document]) -> None:
    with pytest.raises(ValueError, match="1 prompts of 'image_to_text' got 0 answers"):
        evaluate(lambda prompts, want: [], documents[:1], Judges())
