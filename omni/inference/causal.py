"""Which models can generate: those in which no position depends on a later one."""

from __future__ import annotations

from omni.nn.config import KEY, ModelConfig


def require_causal(config: ModelConfig, where: str = "") -> None:
    """
    Args:
        config: of the model that is to generate.
        where: checkpoint that it came from, for the message.

    Raises:
        ValueError: experts choose positions (expert choice), so what comes out for a position depends on later
            ones, which are not there yet while a sequence grows.
    """
    if config.moe.choice == "experts" and config.moe.dense_layers < config.layers:
        raise ValueError(
            f"{f'{where}: ' if where else ''}a model with {KEY}.moe.choice experts can't generate or be "
            f"evaluated: its experts compare all positions of a batch, later ones too; train with "
            f"{KEY}.moe.choice positions"
        )
