"""What a figure's name says about it: whether less is better, its unit, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "nats", "error", "rate", "dB", "plain"]

_LOWER: tuple[tuple[str, Unit], ...] = (
    ("_image_loss", "error"),
    ("_loss", "nats"),
    ("_wer", "rate"),
    ("_cer", "rate"),
    ("_distance_db", "dB"),
)
_NAMES: dict[Unit, str] = {
    "share": "points",
    "nats": "nats",
    "error": "squared error",
    "rate": "error rate",
    "dB": "dB",
    "plain": "",
}
_HIGHER = ("_exact", "_judged", "_pocketsphinx", "_answered", "_choice")


@dataclass(frozen=True)
class Kind:
    """What a figure is."""

    unit: Unit
    lower_is_better: bool

    def written(self, value: float) -> str:
        """The figure itself."""
        return f"{100 * value:.1f} %" if self.unit == "share" else f"{value:.4g}"

    def difference(self, value: float) -> str:
        """A difference of two of them, with its sign."""
        shown = f"{100 * value:+.1f}" if self.unit == "share" else f"{value:+.3g}"
        return shown.replace("-", "\u2212")

    @property
    def name(self) -> str:
        """Of the unit of a difference."""
        return _NAMES[self.unit]


def kind_of(figure: str) -> Kind:
    """By the end of its name; what isn't known is a plain figure of which more is better."""
    for ending, unit in _LOWER:
        if figure.endswith(ending):
            return Kind(unit, lower_is_better=True)
    return Kind("share" if figure.endswith(_HIGHER) else "plain", lower_is_better=False)
