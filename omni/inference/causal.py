"""Which models can generate, and what: no position may depend on a later one, and there must be a head for it."""

from __future__ import annotations

from omni.modality import ModalityName
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


def require_head(config: ModelConfig, want: ModalityName | None) -> None:
    """
    Raises:
        ValueError: an answer is wanted in a modality that the model only reads.
    """
    names = [modality.name for modality in config.generated]
    if want is not None and want in ("image", "audio") and want not in names:
        raise ValueError(
            f"want {want}: this model was built with {KEY}.{want}.generate false, so it answers in {', '.join(names)}"
        )
