"""Sizes and switches of the model. Every key here can be set in YAML and on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from omni.code_layout import LayoutName
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.nn.checks import at_least, require
from omni.nn.context_config import RecomputeConfig, RopeConfig
from omni.nn.encoders.config import EncodersConfig
from omni.nn.moe.groups import Group, GroupSizes, RoutingMode, check_groups, groups_of

KEY = "model.network"
"""Where these settings stand in a run's config, for messages."""


def _require(condition: bool, message: str) -> None:
    require(condition, f"{KEY}.{message}")


def _at_least(config: object, part: str, **least: int) -> None:
    at_least(config, f"{KEY}.{part}", **least)


@dataclass(frozen=True, kw_only=True)
class MoEConfig:
    """The feed-forward part of every block: a mixture of SwiGLU experts."""

    experts: int = 16
    """E."""
    top_k: int = 2
    """T: experts that each position goes to; in the mean where experts choose."""
    expert_width: int = 512
    """H: hidden width of one expert."""
    shared_width: int = 0
    """Hidden width of a shared expert that every position passes; 0 for none."""
    dense_layers: int = 0
    """The first layers that have one dense SwiGLU of width ``top_k * expert_width`` instead of experts."""
    routing: RoutingMode = "agnostic"
    """Which experts a position may choose from: all; those of its modality's group (``grouped``, as in MoMa,
    arXiv 2407.21770); or these and a group that is open to all (``hybrid``)."""
    groups: GroupSizes = field(default_factory=GroupSizes)
    """Experts of each group, ``experts`` in all; left out with ``agnostic``."""
    choice: Literal["positions", "experts"] = "positions"
    """Who chooses. ``experts`` is expert choice (arXiv 2202.09368), for comparison: it sees the future of a
    sequence, so a model that was trained with it can't generate."""
    score: Literal["softmax", "sigmoid"] = "softmax"
    """How router logits become gate weights; the chosen ones are normalised to sum to 1."""
    balance_rate: float = 1e-3
    """Step of the selection bias that balances load within each group without a loss (arXiv 2412.19437); 0 for
    off. Where experts choose, load is even and the bias stays as it is."""
    balance_loss: float = 0.0
    """Weight of the sequence-level balance loss (arXiv 2412.19437, eq. 17, with 1e-4 there); 0 for none."""
    z_loss: float = 1e-4
    """Weight of the router z-loss (ST-MoE, arXiv 2202.08906)."""

    def __post_init__(self) -> None:
        least = {"shared_width": 0, "balance_rate": 0, "balance_loss": 0, "z_loss": 0}
        _at_least(self, "moe.", experts=1, expert_width=8, **least)
        _require(
            1 <= self.top_k <= self.experts,
            f"moe.top_k must be in 1..{KEY}.moe.experts = 1..{self.experts}, got {self.top_k}",
        )
        _require(
            self.expert_width % 8 == 0,
            f"moe.expert_width must be a multiple of 8 for grouped matmul, got {self.expert_width}",
        )
        check_groups(self.routing, self.groups, self.experts, self.top_k, f"{KEY}.moe.")
        _require(
            self.choice == "positions" or not self.balance_loss,
            f"moe.balance_loss must be 0 with {KEY}.moe.choice experts, whose load is even without it, "
            f"got {self.balance_loss}",
        )

    @property
    def expert_groups(self) -> tuple[Group, ...]:
        """The groups in the order of their experts; one without groups."""
        return groups_of(self.groups, self.experts)


@dataclass(frozen=True, kw_only=True)
class ImageHeadConfig:
    """The flow-matching head that draws the next patch."""

    width: int = 512
    """Width of its residual MLP."""
    depth: int = 3
    """Residual blocks."""
    draws: int = 4
    """Noise draws per patch and step (as MAR, arXiv 2406.11838): the head is cheap beside the backbone."""
    input_noise: float = 0.2
    """Patches that the model reads get Gaussian noise of up to this standard deviation while training."""
    loss_weight: float = 1.0
    """Weight of the image loss, which is per patch."""
    generate: bool = True
    """Whether there is such a head; a model without one reads pictures and draws none."""

    def __post_init__(self) -> None:
        _at_least(self, "image.", width=1, depth=0, draws=1, input_noise=0, loss_weight=0)


@dataclass(frozen=True, kw_only=True)
class AudioHeadConfig:
    """The depth head that says the codes of the next frame one after another."""

    width: int = 512
    """Width of its residual MLP."""
    depth: int = 2
    """Residual blocks."""
    input_corruption: float = 0.3
    """Up to this share of the frames, and of single codes, that the model reads of its own clips is replaced
    by random codes while training, against exposure bias."""
    loss_weight: float = 0.5
    """Weight of the audio loss, which is per frame (nats of all its codes)."""
    generate: bool = True
    """Whether there is such a head; a model without one reads clips and says nothing."""
    layout: LayoutName = "frame"
    """How codes lie on positions: whole frames, said by the depth head; or ``delay`` or ``flat``, for comparison,
    whose codes are said at once or one a position (``omni.code_layout``)."""

    def __post_init__(self) -> None:
        _at_least(self, "audio.", width=1, depth=0, input_corruption=0, loss_weight=0)
        _require(
            self.input_corruption <= 1,
            f"audio.input_corruption must be at most 1, got {self.input_corruption}",
        )


@dataclass(frozen=True, kw_only=True)
class TextHeadConfig:
    """The linear head over the text vocabulary."""

    tied: bool = True
    """Share the weights with the input embedding."""
    chunk: int = 512
    """Positions whose logits exist at once."""
    loss_weight: float = 1.0
    """Weight of the text loss, which is per token."""
    z_loss: float = 0.0
    """Weight, beside the nats, of the squared log of the softmax' denominator, which keeps logits from drifting
    (PaLM, arXiv 2204.02311: 1e-4); 0 for none."""

    def __post_init__(self) -> None:
        _at_least(self, "text.", chunk=1, loss_weight=0, z_loss=0)


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """How weights are drawn at the start, and which learning rates go with it."""

    method: Literal["standard", "mup"] = "standard"
    """Normal of 1/sqrt(fan-in), one learning rate for all; or the maximal-update parametrization (arXiv
    2203.03466, table 3, for Adam), under which the best learning rate is the same at every width."""
    base_width: int = 128
    """Width at which ``mup`` is the same as ``standard``: that of the model whose learning rate was tuned."""
    depth_scaled: bool = True
    """What writes to the residual stream starts smaller by 1/sqrt(2 * layers) (GPT-2)."""

    def __post_init__(self) -> None:
        _at_least(self, "init.", base_width=8)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The transformer, apart from what its tokenizers fix (vocabulary, patch values, codebooks)."""

    width: int = 512
    """D: width of the residual stream."""
    layers: int = 8
    """Blocks of attention and experts."""
    heads: int = 8
    """A: query heads."""
    kv_heads: int = 4
    """G: key/value heads (grouped-query attention)."""
    rope: RopeConfig = field(default_factory=RopeConfig)
    """Rotary positions."""
    moe: MoEConfig = field(default_factory=MoEConfig)
    """Router and experts."""
    text: TextHeadConfig = field(default_factory=TextHeadConfig)
    """Text head."""
    image: ImageHeadConfig = field(default_factory=ImageHeadConfig)
    """Image head."""
    audio: AudioHeadConfig = field(default_factory=AudioHeadConfig)
    """Audio head."""
    encoders: EncodersConfig = field(default_factory=EncodersConfig)
    """Encoders of what is read, in front of the decoder (late fusion, for comparison); none by default."""
    init: InitConfig = field(default_factory=InitConfig)
    """Weights at the start."""
    recompute: RecomputeConfig = field(default_factory=RecomputeConfig)
    """Activation checkpointing."""

    def __post_init__(self) -> None:
        _at_least(self, "", width=8, layers=1, heads=1, kv_heads=1)
        _require(
            self.width % self.heads == 0,
            f"width must be a multiple of {KEY}.heads, got {self.width} and {self.heads}",
        )
        _require(
            self.heads % self.kv_heads == 0,
            f"heads must be a multiple of {KEY}.kv_heads, got {self.heads} and {self.kv_heads}",
        )
        _require(
            self.head_channels % 2 == 0 and self.head_channels >= 6,
            f"width / {KEY}.heads must be even and at least 6 (three rotary axes), got {self.head_channels}",
        )
        _require(self.width % 8 == 0, f"width must be a multiple of 8 for grouped matmul, got {self.width}")
        _require(
            0 <= self.moe.dense_layers <= self.layers,
            f"moe.dense_layers must be in 0..{KEY}.layers = 0..{self.layers}, got {self.moe.dense_layers}",
        )
        _require(
            self.init.method != "mup" or not self.text.tied,
            f"text.tied must be false with {KEY}.init.method mup, got true: a table that reads and one that "
            f"predicts need different learning rates",
        )
        _require(
            self.init.method != "mup" or not self.encoders.any,
            f"init.method must be standard with {KEY}.encoders, whose widths mup says nothing about, got mup",
        )

    @property
    def generated(self) -> tuple[Modality, ...]:
        """Modalities that the model has a head for."""
        return (TEXT, *((IMAGE,) if self.image.generate else ()), *((AUDIO,) if self.audio.generate else ()))

    @property
    def head_channels(self) -> int:
        """C: channels of one attention head."""
        return self.width // self.heads

    @property
    def width_ratio(self) -> float:
        """How many times wider the model is than the one its learning rate was tuned on; 1 without ``mup``."""
        return self.width / self.init.base_width if self.init.method == "mup" else 1.0


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the tokenizers fix about the model."""

    text: int
    """V: text tokens with control symbols."""
    patch_values: int
    """P: values of one image patch."""
    max_grid: int
    """Most rows or columns of patches."""
    codebooks: int
    """K: codes of one audio frame."""
    codebook_size: int
    """Q: values of one code."""
