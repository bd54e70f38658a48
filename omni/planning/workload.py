"""What one optimizer step reads: rows, their length, and what stands in them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Shares of the positions that hold each modality; they sum to 1."""

    text: float = 1.0
    image: float = 0.0
    audio: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.text, self.image, self.audio)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"--mix text={self.text:g},image={self.image:g},audio={self.audio:g}: shares must not be "
                f"negative and must sum to 1, got {sum(shares):g}"
            )


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Shares of the positions of each modality that are targets; the others are only read."""

    text: float = 1.0
    image: float = 1.0
    audio: float = 1.0

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise ValueError(f"--learnt {name}={share:g}: a share must be in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Rows of a step, as one data-parallel rank sees them."""

    length: int = 4096
    """Positions of a row."""
    document: int = 0
    """Positions of a document, which attention doesn't leave; 0 for whole rows."""
    rows: int = 1
    """Rows of one forward pass."""
    accumulate: int = 1
    """Forward passes of a step; they fill a pipeline."""
    mix: Mix = field(default_factory=Mix)
    """What the positions hold."""
    learnt: Learnt = field(default_factory=Learnt)
    """Which of them are targets. Heads run for these, and encoders, where the config has any, for the others."""
    picture: int = 64
    """Patches of a picture, within which an encoder looks about."""
    clip: int = 64
    """Frames of a clip."""

    def __post_init__(self) -> None:
        for name in ("length", "rows", "accumulate", "picture", "clip"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.document <= self.length:
            raise ValueError(
                f"--document must be in 1..--length = 1..{self.length}, or 0 for whole rows; got {self.document}"
            )

    @property
    def attended(self) -> int:
        """Positions of a document: within how many attention looks back."""
        return self.document or self.length

    @property
    def positions(self) -> int:
        """Positions of one forward pass of a data-parallel rank, before context parallelism splits them."""
        return self.rows * self.length
