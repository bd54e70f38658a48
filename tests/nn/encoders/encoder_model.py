"""A tiny model with encoders for both modalities."""

from __future__ import annotations

from typing import Any

from omni.nn.encoders.config import AudioEncoderConfig, EncodersConfig, ImageEncoderConfig


def tiny_encoders(**changes: Any) -> EncodersConfig:
    """One vision block and one Conformer block; ``changes`` go to both."""
    return EncodersConfig(
        image=ImageEncoderConfig(**({"layers": 1, "width": 16, "heads": 2, "hidden": 24} | changes)),
        audio=AudioEncoderConfig(
            **({"layers": 1, "width": 16, "heads": 2, "hidden": 24, "kernel": 3} | changes)
        ),
    )
