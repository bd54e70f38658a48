"""How training went: the losses, and which modality uses which experts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Float

from omni.cli.demo.report.losses import read_losses
from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.plots import loss_plot
from omni.cli.demo.report.results import DemoResults
from omni.modality import MODALITIES, Modality


def loss_curves(results: DemoResults) -> Markup:
    """A plot per modality."""
    curves = read_losses(results.loss_csv)
    plots = [tag("div", loss_plot(curves, modality), class_="card") for modality in MODALITIES]
    note = (
        "Faint: every logged training step; bold: their moving average; dots: held-out data. Training reads "
        "pictures with noise and speech with errors in it, held-out data is clean: the two needn't meet."
    )
    return join(tag("p", note, class_="note"), tag("div", *plots, class_="cards plots"))


def router_heat(results: DemoResults) -> Markup:
    """A heat map per layer: a row per modality, a column per expert."""
    return load_maps(results.router_load)


def load_maps(load_XME: Float[np.ndarray, "layers M E"]) -> Markup:
    """The same of any load: of each modality's choices, the share that fell on each expert."""
    experts, most = load_XME.shape[-1], float(load_XME.max())
    note = (
        f"Of the positions of each modality, the share that each of the {experts} experts got: the "
        f"stronger the colour, the larger, up to {_percent(most)}; even use would be "
        f"{_percent(1 / experts)} everywhere. Overlap is how much of their load two modalities put on the "
        "same experts: 100 % would mean that they use them alike."
    )
    layers = [_layer(number, load_ME, most) for number, load_ME in enumerate(load_XME, 1)]
    return join(tag("p", note, class_="note"), tag("div", *layers, class_="cards wide"))


def _layer(number: int, load_ME: Float[np.ndarray, "M E"], most: float) -> Markup:
    rows = [_modality_row(modality, load_ME[modality.id], most) for modality in MODALITIES]
    present = [modality for modality in MODALITIES if load_ME[modality.id].sum() > 0]
    overlaps = [
        f"{a.name} and {b.name} {_percent(_overlap(load_ME[a.id], load_ME[b.id]))}"
        for a, b in combinations(present, 2)
    ]
    numbers = [tag("th", str(expert), scope="col") for expert in range(1, load_ME.shape[1] + 1)]
    table = tag("table", tag("tr", tag("th", "expert"), *numbers), *rows, class_="heat")
    overlap = tag("p", f"Overlap: {', '.join(overlaps)}", class_="note")
    return tag(
        "div", tag("h4", f"Layer {number}"), tag("div", table, class_="scroll"), overlap, class_="card"
    )


def _modality_row(modality: Modality, load_E: Float[np.ndarray, " E"], most: float) -> Markup:
    cells = [
        tag(
            "td",
            tag("i", style=f"opacity:{share / max(most, 1e-9):.3f}"),
            title=f"expert {expert}: {_percent(share)} of {modality.name}",
        )
        for expert, share in enumerate(load_E.tolist(), 1)
    ]
    return tag("tr", tag("th", modality.name, scope="row"), *cells, class_=modality.name)


def _overlap(one_E: Float[np.ndarray, " E"], other_E: Float[np.ndarray, " E"]) -> float:
    return float(np.minimum(one_E, other_E).sum())


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
