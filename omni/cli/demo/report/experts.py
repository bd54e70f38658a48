"""Heat maps of the experts over the layers: what each modality uses, and which experts it uses together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.results import DemoResults
from omni.modality import MODALITIES, Modality

CELL, LABELS = 10, 16
"""Side of a cell in the units of the SVG, of which the gap takes one; most numbers at a side."""


def expert_maps(results: DemoResults) -> Markup:
    """A map of layers x experts per modality, and a card per modality with the pairs of each layer."""
    load_XME, pairs_XMEE = results.router_load, results.router_pairs
    experts = load_XME.shape[-1]
    even = 1 / (experts * (experts - 1) / 2) if experts > 1 else 0.0
    note = (
        "Rows are layers, columns experts; the stronger the colour, the larger the share of the modality's "
        f"choices. Even use would be {_percent(1 / experts)} everywhere. Undecidedness is the mean entropy of the "
        "router's scores: 100 % where it scores all experts alike, 0 % where one gets everything."
    )
    together = (
        "Each position goes to several experts at once: the share of the modality's positions that went to both "
        f"experts of a pair. The strongest colour is the commonest pair of each layer, named below it. With even "
        f"use every pair would get {_percent(even)}."
    )
    loads = [_load_card(m, load_XME[:, m.id], results.router_entropy[:, m.id]) for m in MODALITIES]
    pairs = [_pairs_card(m, pairs_XMEE[:, m.id]) for m in MODALITIES]
    return join(
        tag("h3", "By layer"),
        tag("p", note, class_="note"),
        tag("div", *loads, class_="cards plots"),
        tag("h3", "Together"),
        tag("p", together, class_="note"),
        tag("div", *pairs, class_="cards rows"),
    )


def _load_card(
    modality: Modality, load_XE: Float[np.ndarray, "layers E"], entropy_X: Float[np.ndarray, " layers"]
) -> Markup:
    undecided = ", ".join(_percent(float(share)) for share in entropy_X)
    name = f"{modality.name}: load of each expert, by layer"
    return tag(
        "div",
        tag("h4", modality.name),
        _heat_svg(modality, load_XE, name),
        tag(
            "p",
            f"Up to {_percent(float(load_XE.max()))}. Undecidedness by layer: {undecided}.",
            class_="note",
        ),
        class_="card",
    )


def _pairs_card(modality: Modality, pairs_XEE: Float[np.ndarray, "layers E E"]) -> Markup:
    maps = [
        tag(
            "div",
            _heat_svg(modality, np.tril(pairs_EE), f"{modality.name}: pairs of experts in layer {layer}"),
            tag("p", f"layer {layer}: {_strongest(pairs_EE)}"),
        )
        for layer, pairs_EE in enumerate(pairs_XEE, 1)
    ]
    return tag("div", tag("h4", modality.name), tag("div", *maps, class_="maps"), class_="card")


def _strongest(pairs_EE: Float[np.ndarray, "E E"]) -> str:
    first, second = sorted(np.unravel_index(int(pairs_EE.argmax()), pairs_EE.shape))
    if not pairs_EE[first, second]:
        return "none"
    return f"{first + 1} and {second + 1}, {_percent(float(pairs_EE[first, second]))}"


def _heat_svg(modality: Modality, shares: Float[np.ndarray, "rows columns"], name: str) -> Markup:
    """A grid whose cells are as opaque as their share of the largest; numbers of rows and columns at its sides."""
    rows, columns = shares.shape
    strength = shares / max(float(shares.max()), 1e-9)
    cells = [
        tag("rect", x=column * CELL, y=row * CELL, width=CELL - 1, height=CELL - 1, opacity=f"{value:.2f}")
        for (row, column), value in np.ndenumerate(strength)
        if value >= 0.005
    ]
    ground = tag("rect", width=columns * CELL - 1, height=rows * CELL - 1, class_="ground")
    labels = [
        *(tag("text", str(c + 1), x=c * CELL + CELL // 2, y=-2, class_="top") for c in _numbered(columns)),
        *(tag("text", str(r + 1), x=-2, y=r * CELL + CELL - 3) for r in _numbered(rows)),
    ]
    return tag(
        "svg",
        ground,
        *cells,
        *labels,
        viewBox=f"-10 -8 {columns * CELL + 10} {rows * CELL + 8}",
        role="img",
        aria_label=name,
        class_=f"grid {modality.name}",
    )


def _numbered(cells: int) -> range:
    return range(0, cells, -(-cells // LABELS))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}\u00a0%"
