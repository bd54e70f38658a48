"""Generated pictures and speech beside held-out ones, digit by digit."""

from __future__ import annotations

from collections.abc import Iterable

from omni.cli.demo.report.examples import choose, heard, state
from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.media import clip, picture
from omni.cli.demo.report.results import DemoResults
from omni.cli.demo.report.targets import written
from omni.evaluation.results import Example
from omni.evaluation.tasks import JudgeName
from omni.sequence import Audio, Image

PICTURES, WRONG_PICTURES, REAL_PICTURES = 8, 4, 8
CLIPS, WRONG_CLIPS, HELDOUT_CLIPS = 2, 2, 1
"""Shown for each word: the first answers, further wrong ones, and held-out ones."""
_JUDGES: dict[JudgeName, str] = {"digits": "", "speech": "classifier: ", "sphinx": "PocketSphinx: "}
_MARKS = {True: "yes", False: "no", None: None}


def picture_grid(results: DemoResults) -> Markup:
    """For each digit: generated pictures with what the judge saw, and real ones."""
    drawn = results.evaluation.of("text_to_image")
    cards = []
    for word, real in results.real_digits.items():
        choice = choose([example for example in drawn if example.label == word], PICTURES, WRONG_PICTURES)
        groups = [_group("generated, with what the judge saw", map(_picture_tile, choice.first))]
        if choice.wrong:
            groups.append(_group("generated: further wrong ones", map(_picture_tile, choice.wrong)))
        groups.append(_group("real", (_tile(picture(p, f"real {word}")) for p in real[:REAL_PICTURES])))
        cards.append(tag("div", tag("h4", f"“{word}”"), *groups, class_="card digit"))
    note = (
        f"For each digit the first {PICTURES} generated, not picked, then up to {WRONG_PICTURES} further "
        "wrong ones, then real held-out pictures. Outlined: the judge saw something else than was asked "
        "for."
    )
    return join(
        tag("p", note, class_="note"), tag("div", *cards, class_="cards wide"), diversity_text(results)
    )


def _picture_tile(example: Example) -> Markup:
    if not isinstance(example.answer, Image):
        return _judged_tile(tag("span", "none", class_="nothing"), example)
    return _judged_tile(picture(example.answer.pixels, f"generated: {example.label}"), example)


def speech_table(results: DemoResults) -> Markup:
    """For each word: generated clips and what the judges heard, held-out ones before and after the codec."""
    spoken = results.evaluation.of("text_to_audio")
    original = "held-out original" if results.speech_is_synthetic else "held-out recording"
    cards = []
    for word, clips in results.heldout_clips.items():
        choice = choose([example for example in spoken if example.label == word], CLIPS, WRONG_CLIPS)
        shown = clips[:HELDOUT_CLIPS]
        groups = (
            _group("generated", map(_clip_tile, (*choice.first, *choice.wrong))),
            _group(original, (_tile(clip(c.original, f"held-out {word}")) for c in shown)),
            _group(
                "after the codec",
                (_tile(clip(c.reconstructed, f"held-out {word} after the codec")) for c in shown),
            ),
        )
        cards.append(tag("div", tag("h4", f"“{word}”"), *groups, class_="card spoken"))
    note = (
        f"For each word the first {CLIPS} generated clips, not picked, then up to {WRONG_CLIPS} further "
        "wrong ones; outlined: the classifier heard something else than was asked for. Beside them a "
        "held-out clip, and the same clip through the audio codec: no generated clip can sound better "
        "than that."
    )
    return join(tag("p", note, class_="note"), tag("div", *cards, class_="cards rows"))


def _clip_tile(example: Example) -> Markup:
    if not isinstance(example.answer, Audio):
        return _judged_tile(tag("span", "none", class_="nothing"), example)
    return _judged_tile(clip(example.answer, f"generated: {example.label}"), example)


def _judged_tile(view: Markup, example: Example) -> Markup:
    """An answer, outlined if it is wrong, and a line for each judge."""
    said = [
        tag("span", f"{_JUDGES[judge]}{heard(verdict)}", class_=_MARKS[example.right.get(judge)])
        for judge, verdict in example.verdicts.items()
    ]
    caption = tag("figcaption", *(said or [tag("span", "not judged")]))
    return tag("figure", view, caption, class_=state(example))


def _tile(view: Markup) -> Markup:
    return tag("figure", view)


def _group(name: str, tiles: Iterable[Markup]) -> Markup:
    content = list(tiles) or [tag("span", "none in this run", class_="nothing")]
    return tag("div", tag("h5", name), tag("div", *content, class_="strip"), class_="group")


def diversity_text(results: DemoResults) -> Markup:
    """Diversity and nearness to the training pictures in words."""
    names = ("diversity", "diversity_worst", "nearest", "nearest_real", "copies", "copies_real")
    value = {name: results.metrics.get(f"text_to_image_{name}") for name in names}
    say = {name: written(found, "share" if "copies" in name else "plain") for name, found in value.items()}
    spread = (
        f"Diversity {say['diversity']}, for the least diverse digit {say['diversity_worst']}: how far two "
        "pictures of a digit lie apart, divided by how far two real ones do. 1 is as diverse as real "
        "handwriting; a model that always draws the same seven has 0. Distances are taken among the main "
        "components of real pictures, so that noise earns nothing, and only pictures that show what was "
        "asked for count."
    )
    copies = (
        f"Nearest training picture: {say['nearest']} away in the median (root mean square difference per "
        f"pixel, 0 to 1); for real held-out pictures it is {say['nearest_real']}. So near that they count "
        f"as copies: {say['copies']} of the generated and {say['copies_real']} of the real ones."
    )
    return tag("div", tag("p", spread), tag("p", copies), class_="explained")
