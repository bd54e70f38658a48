"""Colours and names of variants, the same in every part of the page."""

from __future__ import annotations

from omni.ablation.study import Study
from omni.cli.demo.report.drawing import COLOURS
from omni.cli.demo.report.markup import Markup, tag

_MORE = ("#8b2fc9", "#be185d", "#4d7c0f")
PLOT_COLOURS = (*COLOURS.values(), *_MORE)
"""Of the first variants in the plots; further ones begin again with another stroke."""
STROKES = ("-", "--", ":", "-.")
PAGE_COLOURS = {colour: f"var(--v{number})" for number, colour in enumerate(_MORE, len(COLOURS))}
"""What the page has for those colours that the demo's report doesn't know."""


def number_of(study: Study, variant: str) -> int:
    """Place of a variant in the study."""
    return [one.name for one in study.variants].index(variant)


def colour_of(study: Study, variant: str) -> str:
    """Colour of a variant in plots."""
    return PLOT_COLOURS[number_of(study, variant) % len(PLOT_COLOURS)]


def stroke_of(study: Study, variant: str) -> str:
    """Stroke of a variant's lines."""
    return STROKES[number_of(study, variant) // len(PLOT_COLOURS) % len(STROKES)]


def class_of(study: Study, variant: str) -> str:
    """Class of the page's style that gives a variant's colour."""
    return f"v{number_of(study, variant) % len(PLOT_COLOURS)}"


def name_tag(study: Study, variant: str) -> Markup:
    """The name with its colour."""
    return tag("span", variant, class_=f"name {class_of(study, variant)}")


def legend(study: Study) -> Markup:
    """All variants with what the study says of them."""
    rows = [
        tag("span", name_tag(study, one.name), f" {one.about}" if one.about else "") for one in study.variants
    ]
    return tag("div", *rows, class_="legend")
