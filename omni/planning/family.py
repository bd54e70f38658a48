"""The table of the model configs in ``docs/models.md``, made from the configs."""

from __future__ import annotations

from pathlib import Path

from omni.nn.config import ModelConfig
from omni.planning.flops import flops_of
from omni.planning.parameters import count_parameters, default_vocabulary
from omni.planning.source import read_source
from omni.planning.workload import Workload

FOLDER = Path(__file__).parents[1] / "configs" / "model"
FAMILY = ("10m", "100m", "1b-a300m", "7b-a1b", "30b-a3b", "gpt3", "gpt3.5", "gpt4", "gpt4o", "gpt4.5")
"""Names of the configs, practical sizes first."""
BYTES_PER_PARAMETER = 16
"""Weight, gradient and both moments of AdamW in fp32."""


def family_table() -> str:
    """Markdown: one row per config, with the vocabulary that the planner takes for its width."""
    head = (
        "| config | layers | width | experts (active) | parameters | active | training FLOPs a token at 4,096 | "
        "weights, gradients, moments |"
    )
    rows = [_row(name, read_source(FOLDER / f"{name}.yaml").config) for name in FAMILY]
    return "\n".join([head, "|---|" + "---:|" * 7, *rows])


def _row(name: str, config: ModelConfig) -> str:
    vocabulary = default_vocabulary(config)
    parameters = count_parameters(config, vocabulary)
    flops = flops_of(config, vocabulary, Workload(length=4096))
    sparse = config.moe.dense_layers < config.layers
    cells = (
        f"`{name}.yaml`",
        str(config.layers),
        f"{config.width:,}",
        f"{config.moe.experts} ({config.moe.top_k})" if sparse else "dense",
        scaled(parameters.total),
        scaled(parameters.active),
        f"{flops.training:.2e}",
        f"{parameters.total * BYTES_PER_PARAMETER / 1e9:,.1f} GB",
    )
    return "| " + " | ".join(cells) + " |"


def scaled(value: float | int) -> str:
    """A number with its magnitude and three digits, such as 1.76B."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.3g}{letter}" if value < 1000 * size else f"{value / size:,.0f}{letter}"
    return f"{value:.3g}"
