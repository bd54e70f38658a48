"""The corpus: counts, the documents of each task, right labels, and nothing held out in training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from omni.datamodules.demo.arithmetic import NUMBER_WORDS, Pair, addends, unordered
from omni.datamodules.demo.corpus import DemoCorpus
from omni.datamodules.demo.digit_tasks import in_words
from omni.datamodules.demo.size import HELDOUT_SIZE, TRAIN_SIZE, CorpusSize
from omni.datamodules.demo.speech import DIGIT_WORDS
from omni.datamodules.demo.split import Split
from omni.datamodules.demo.variants import VARIANTS
from omni.sequence import Audio, Document, Image, Segment, Text


def content(segment: Segment) -> bytes:
    """The bytes of a picture or clip, or the text."""
    if isinstance(segment, Text):
        return segment.text.encode()
    return (segment.pixels if isinstance(segment, Image) else segment.waveform).tobytes()


def media(documents: Iterable[Document]) -> set[bytes]:
    return {content(s) for d in documents for s in d.segments if not isinstance(s, Text)}


def meanings(corpus: DemoCorpus) -> dict[bytes, str]:
    """What each picture of a digit shows and each clip says, by its content."""
    pictures = {p.pixels.tobytes(): p.word for p in corpus.shown.train + corpus.shown.heldout}
    return pictures | {w.audio.waveform.tobytes(): w.word for w in corpus.words_train + corpus.words_heldout}


def shape(document: Document) -> list[tuple[str | None, bool, str]]:
    """Role, loss flag and modality of each segment."""
    return [(s.role, s.loss, s.modality.name) for s in document.segments]


def named(text: Segment) -> list[int]:
    """The numbers that a text names."""
    assert isinstance(text, Text)
    return [NUMBER_WORDS.index(word) for word in re.findall(r"\w+", text.text) if word in NUMBER_WORDS]


def operands(question: Iterable[Segment], meaning: dict[bytes, str]) -> tuple[list[str], list[int]]:
    """The media and the numbers that a question lists."""
    found: list[tuple[str, int]] = []
    for segment in question:
        if isinstance(segment, Text):
            found += [("text", number) for number in named(segment)]
        else:
            found.append((segment.modality.name, NUMBER_WORDS.index(meaning[content(segment)])))
    kinds, numbers = zip(*found, strict=True)
    return list(kinds), list(numbers)


def added(document: Document, meaning: dict[bytes, str]) -> list[int]:
    """The numbers whose sum a document says."""
    if document.source == "sums":
        return named(document.segments[-2])
    return operands([s for s in document.segments if s.role == "user"], meaning)[1]


def test_there_are_as_many_documents_as_asked_for(corpus: DemoCorpus) -> None:
    for documents, size in ((corpus.train(), TRAIN_SIZE), (corpus.heldout(), HELDOUT_SIZE)):
        wanted = {name: count for name, count in size.scaled(0.02).counts().items() if count}
        assert Counter(document.source for document in documents) == wanted


def test_keys_are_unique_and_stable(corpus: DemoCorpus) -> None:
    keys = [document.key for document in (*corpus.train(), *corpus.heldout())]
    assert len(set(keys)) == len(keys)
    assert {"image_to_text-000000", "image_to_text-000059", "heldout-arithmetic-000005"} <= set(keys)


@pytest.mark.parametrize(
    ("source", "asked", "answer"),
    [
        ("image_to_text", {("image",), ("image", "text")}, "text"),
        ("audio_to_text", {("audio",), ("audio", "text")}, "text"),
        ("text_to_image", {("text",)}, "image"),
        ("text_to_audio", {("text",)}, "audio"),
        ("image_to_audio", {("image", "text")}, "audio"),
        ("audio_to_image", {("audio", "text")}, "image"),
        ("chart_to_text", {("image", "text")}, "text"),
        ("image", {()}, "image"),
        ("audio", {()}, "audio"),
    ],
)
def test_users_ask_and_assistants_answer(
    corpus: DemoCorpus, source: str, asked: set[tuple[str, ...]], answer: str
) -> None:
    documents = [document for document in corpus.train() if document.source == source]
    seen = set()
    for document in documents:
        *question, last = shape(document)
        assert last == ("assistant", True, answer)
        assert all((role, loss) == ("user", False) for role, loss, _ in question)
        seen.add(tuple(kind for _, _, kind in question))
    assert seen == asked


def test_passages_are_running_text(corpus: DemoCorpus) -> None:
    for document in corpus.train():
        if document.source in ("prose", "code"):
            assert shape(document) == [(None, True, "text")] and document.label is None


def test_media_mean_their_label(corpus: DemoCorpus) -> None:
    meaning = meanings(corpus)
    for document in (*corpus.train(), *corpus.heldout()):
        if document.source in ("prose", "code", "reading", "arithmetic", "sums", "chart_to_text"):
            continue
        for segment in document.segments:
            if not isinstance(segment, Text):
                assert meaning[content(segment)] == document.label, document.key
            elif segment.role == "assistant":
                assert segment.text == document.label
            else:
                said = set(re.findall(r"\w+", segment.text)) & set(DIGIT_WORDS)
                assert said <= {document.label}, (document.key, segment.text)
                assert (document.label == "eight") == (
                    "draw an" in segment.text
                ) or "draw a" not in segment.text


def test_charts_are_labelled_with_their_trend(corpus: DemoCorpus) -> None:
    trends = {c.pixels.tobytes(): c.trend for c in corpus.charts.train + corpus.charts.heldout}
    charts = [d for d in (*corpus.train(), *corpus.heldout()) if d.source == "chart_to_text"]
    for chart in charts:
        assert chart.segments[-1] == Text(text=trends[content(chart.segments[0])], role="assistant")
        assert chart.label == trends[content(chart.segments[0])]


def test_sums_in_words_train_on_the_result_only(corpus: DemoCorpus) -> None:
    said, result = ("assistant", False, "text"), ("assistant", True, "text")
    asked = 0
    sums = [document for document in corpus.train() if document.source == "sums"]
    for document in sums:
        assert shape(document)[-2:] == [said, result]
        assert all((s.role, s.loss) == ("user", False) for s in document.segments[:-2])
        asked += len(document.segments) > 2
        assert document.label == NUMBER_WORDS[sum(named(document.segments[-2]))]
        assert document.segments[-1] == Text(f" {document.label}", role="assistant")
    assert 0.2 < asked / len(sums) < 0.4


def test_sums_in_mixed_media_train_on_what_is_added_only(corpus: DemoCorpus) -> None:
    meaning = meanings(corpus)
    for document in corpus.train():
        if document.source == "arithmetic":
            *question, said, result = document.segments
            numbers = operands(question, meaning)[1]
            assert said == Text(f"{in_words(addends(numbers))} make", role="assistant")
            assert result == Text(f" {NUMBER_WORDS[sum(numbers)]}", role="assistant", loss=False)
            assert document.label == f"{in_words(addends(numbers))} make {NUMBER_WORDS[sum(numbers)]}"


def test_heldout_sums_ask_for_the_whole_answer(corpus: DemoCorpus) -> None:
    meaning = meanings(corpus)
    for document in corpus.heldout():
        if document.source == "arithmetic":
            numbers = operands(document.segments[:-1], meaning)[1]
            assert document.label == f"{in_words(addends(numbers))} make {NUMBER_WORDS[sum(numbers)]}"
            assert document.segments[-1] == Text(document.label, role="assistant")


def test_digits_are_read_in_order(corpus: DemoCorpus) -> None:
    meaning = meanings(corpus)
    documents = [document for document in corpus.train() if document.source == "reading"]
    for document in documents:
        digits = operands(document.segments[:-1], meaning)[1]
        assert document.label == in_words(digits)
        assert document.segments[-1] == Text(document.label, role="assistant")
    assert len({kind for d in documents for kind in operands(d.segments[:-1], meaning)[0]}) == 3


def test_two_digits_are_held_out_in_every_mix_of_media(corpus: DemoCorpus) -> None:
    corpus = replace(corpus, heldout_size=replace(corpus.heldout_size, arithmetic=200))
    meaning = meanings(corpus)
    sums = [operands(d.segments[:-1], meaning) for d in corpus.heldout() if d.source == "arithmetic"]
    assert {len(digits) for _, digits in sums} == {2}
    assert {tuple(kinds) for kinds, _ in sums} == set(product(("text", "image", "audio"), repeat=2))


def test_heldout_pairs_are_never_added_or_asked_for_in_training(corpus: DemoCorpus) -> None:
    meaning = meanings(corpus)

    def pairs(documents: Iterable[Document]) -> set[Pair]:
        sums = [d for d in documents if d.source in ("arithmetic", "sums")]
        questions = [[s for s in d.segments if s.role == "user"] for d in sums]
        numbers = [operands(question, meaning)[1] for question in questions if question]
        numbers += [added(document, meaning) for document in sums]
        but_zeros = [[0, 0, *filter(None, digits)] for digits in numbers if len(digits) > 1]
        alone = {unordered(*digits[-2:]) for digits in but_zeros if len(digits) <= 4}
        return alone | {unordered(a, b) for digits in numbers for a, b in pairwise(digits)}

    assert pairs(corpus.train()).isdisjoint(corpus.heldout_pairs)
    assert pairs(corpus.heldout()) <= corpus.heldout_pairs


def test_no_heldout_media_or_text_are_in_training(corpus: DemoCorpus) -> None:
    assert media(corpus.train()).isdisjoint(media(corpus.heldout()))
    heldout = media(corpus.heldout())
    assert heldout.isdisjoint(p.pixels.tobytes() for p in corpus.digits.train)
    assert heldout.isdisjoint(w.audio.waveform.tobytes() for w in corpus.words_train)
    passages = [
        {d.segments[0] for d in part if d.source == "prose"} for part in (corpus.train(), corpus.heldout())
    ]
    assert passages[0] and passages[1] and passages[0].isdisjoint(passages[1])


def test_the_last_fifth_of_the_pictures_is_held_out(corpus: DemoCorpus) -> None:
    inks, digits = load_digits(return_X_y=True)
    assert (len(corpus.digits.train), len(corpus.digits.heldout)) == (1437, 360)
    for picture in (corpus.digits.train[5], corpus.digits.heldout[0]):
        ink = inks[picture.index].reshape(8, 8)
        assert picture.digit == digits[picture.index]
        for channel in range(3):
            np.testing.assert_allclose(picture.pixels[..., channel] / 255 * 16, ink, atol=0.04)
    assert corpus.digits.heldout[0].index == 1437


def test_pictures_are_used_up_before_any_comes_again(corpus: DemoCorpus) -> None:
    assert len(corpus.shown.train) == (1 + VARIANTS) * 1437
    some = Split(corpus.shown.train[:2_000], corpus.shown.heldout)
    only = CorpusSize(**dict.fromkeys(TRAIN_SIZE.counts(), 0) | {"image_to_text": 2_500})
    train = DemoCorpus(**{**vars(corpus), "shown": some, "train_size": only}).train()
    shown = Counter(content(document.segments[0]) for document in train)
    assert len(shown) == 2_000 and set(shown.values()) == {1, 2}


def test_heldout_pictures_are_all_read_and_digits_are_balanced(corpus: DemoCorpus) -> None:
    full = list(DemoCorpus(**{**vars(corpus), "heldout_size": HELDOUT_SIZE}).heldout())
    read = {content(document.segments[0]) for document in full if document.source == "image_to_text"}
    assert read == {picture.pixels.tobytes() for picture in corpus.digits.heldout}
    for source in ("text_to_image", "text_to_audio", "image_to_audio", "audio_to_image"):
        labels = Counter(document.label for document in full if document.source == source)
        assert labels == dict.fromkeys(DIGIT_WORDS, 20)


def test_the_corpus_is_a_function_of_its_seed(corpus: DemoCorpus) -> None:
    def documents(of: DemoCorpus) -> list[tuple[str, str | None, list[bytes]]]:
        return [(d.key, d.label, [content(s) for s in d.segments]) for d in (*of.train(), *of.heldout())]

    assert documents(corpus) == documents(corpus)
    assert documents(DemoCorpus.build(seed=0, scale=0.02)) == documents(corpus)
    assert documents(DemoCorpus(**{**vars(corpus), "seed": 1})) != documents(corpus)


def test_other_sources_stay_when_one_changes_its_size(corpus: DemoCorpus) -> None:
    fewer = CorpusSize(**{**corpus.train_size.counts(), "image_to_text": 1})
    changed = DemoCorpus(**{**vars(corpus), "train_size": fewer})
    before = [d for d in corpus.train() if d.source == "arithmetic"]
    after = [d for d in changed.train() if d.source == "arithmetic"]
    assert [[*map(content, d.segments)] for d in before] == [[*map(content, d.segments)] for d in after]


def test_recorded_speech_replaces_the_synthetic(tmp_path: Path) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    for digit, take in product(range(10), (0, 5)):
        soundfile.write(tmp_path / f"{digit}_ann_{take}.wav", rng.uniform(-0.5, 0.5, 2000), 8_000)
    stages: Counter[str] = Counter()
    built = DemoCorpus.build(0, tmp_path, 0.002, progress=lambda stage, done, total: stages.update([stage]))
    assert (len(built.words_train), len(built.words_heldout)) == (10, 10)
    assert {w.audio.waveform.tobytes() for w in built.words_train} >= {
        content(s) for d in built.train() for s in d.segments if isinstance(s, Audio)
    }
    assert stages == {"speech": 20, "charts": len(built.charts.train) + len(built.charts.heldout)}


def test_sizes_and_scales_are_checked() -> None:
    with pytest.raises(ValueError, match=r"CorpusSize\.prose is -1"):
        CorpusSize(prose=-1)
    with pytest.raises(ValueError, match=r"scale is 0\.0, expected more than 0"):
        DemoCorpus.build(0, scale=0.0)
