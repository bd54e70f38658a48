"""Settings of the encoders that read pictures and sound in front of the decoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni.nn.checks import at_least, require

KEY = "model.network.encoders."
"""Where these settings stand in a run's config, for messages."""


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """A vision transformer over the patches of one picture, whatever its grid."""

    layers: int = 0
    """Blocks; 0 for no encoder: patches enter through one linear map."""
    width: int = 256
    """Width of its residual stream."""
    heads: int = 4
    """Attention heads."""
    hidden: int = 1024
    """Hidden width of its feed-forward networks."""
    frozen: bool = False
    """Leave its weights as they are; the projector behind it learns."""

    def __post_init__(self) -> None:
        _check(self, "image.")


@dataclass(frozen=True, kw_only=True)
class AudioEncoderConfig:
    """A Conformer over the frames of one clip."""

    layers: int = 0
    """Blocks; 0 for no encoder: frames enter as the sum of their codes' table entries."""
    width: int = 256
    """Width of its residual stream."""
    heads: int = 4
    """Attention heads."""
    hidden: int = 1024
    """Hidden width of its two feed-forward networks."""
    kernel: int = 15
    """Frames that its depthwise convolution sees; odd."""
    frozen: bool = False
    """Leave its weights as they are; the projector behind it learns."""

    def __post_init__(self) -> None:
        _check(self, "audio.")
        at_least(self, f"{KEY}audio.", kernel=1)
        require(self.kernel % 2 == 1, f"{KEY}audio.kernel must be odd, got {self.kernel}")


@dataclass(frozen=True, kw_only=True)
class EncodersConfig:
    """Late fusion (LLaVA, Qwen-Audio): what is read passes an encoder first. None by default."""

    image: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    """Reads pictures."""
    audio: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    """Reads clips."""

    @property
    def any(self) -> bool:
        """Whether there is an encoder at all."""
        return bool(self.image.layers or self.audio.layers)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the encoders whose towers don't learn."""
        named = (("image", self.image), ("audio", self.audio))
        return tuple(name for name, config in named if config.layers and config.frozen)


def _check(config: ImageEncoderConfig | AudioEncoderConfig, part: str) -> None:
    at_least(config, f"{KEY}{part}", layers=0, width=1, heads=1, hidden=1)
    require(
        config.width % config.heads == 0,
        f"{KEY}{part}width must be a multiple of {KEY}{part}heads, got {config.width} and {config.heads}",
    )
