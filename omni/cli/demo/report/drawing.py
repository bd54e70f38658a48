"""Matplotlib figures as SVG for a page that is light or dark, and as PNG for the documentation."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.demo.report.markup import Markup
from omni.modality import AUDIO, IMAGE, TEXT, Modality

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#1f2329"
COLOURS: dict[Modality, str] = {TEXT: "#2563eb", IMAGE: "#c2680a", AUDIO: "#0d8a7d"}
"""Colour of each modality in the plots; the page has its own, for light and dark, under the same names."""

_PAGE_COLOURS = {INK: "currentColor", **{colour: f"var(--{m.name})" for m, colour in COLOURS.items()}}
_DPI = 160


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; it belongs to no window.

    Raises:
        ImportError: matplotlib isn't installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError("the report needs matplotlib: run `pip install -e '.[demo]'`") from error
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))


def inline_svg(
    figure: Figure, name: str, description: str, colours: Mapping[str, str] | None = None
) -> Markup:
    """The figure as an element of the page: without background, in the page's colours and font.

    ``name`` keeps its ids apart from those of the page's other figures. ``colours`` are more colours of the
    figure, each with what the page has for it.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box is not None, f"matplotlib's SVG has no viewBox: {svg[:200]!r}"
    opening = f'<svg {view_box[0]} role="img" aria-label="{description}" class="plot">'
    svg = opening + svg[svg.index(">") + 1 :]
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(id="|"#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([^;\"]*?)([\d.]+px)[^;\"]*", r"font-size: \2", svg)
    for colour, replacement in {**_PAGE_COLOURS, **(colours or {})}.items():
        svg = svg.replace(colour, replacement)
    return Markup(svg)


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure on white; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
