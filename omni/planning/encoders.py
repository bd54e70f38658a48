"""FLOPs of encoders in front of the decoder: exact for matrix products, convolutions and attention."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.encoders.config import AudioEncoderConfig, ImageEncoderConfig
from omni.planning.parameters import PROJECTORS, TOWERS
from omni.planning.workload import Workload


@dataclass(frozen=True)
class Encoding:
    """FLOPs that encoders add to one position of the mean composition."""

    parts: dict[str, float] = field(default_factory=dict)
    """Of the forward pass, by part."""
    gradless: float = 0.0
    """Products of the backward pass that nobody needs: gradients of patches, and of what frozen towers give."""
    frozen: float = 0.0
    """Of ``parts``: towers that have no backward pass."""
    scores: float = 0.0
    """Of ``parts``: queries by keys and weights by values in towers that learn; flash attention runs half of them
    again in the backward pass."""


def encoding_of(config: ModelConfig, vocabulary: Vocabulary, workload: Workload) -> Encoding:
    """FLOPs of the encoders of ``config``. They read the patches and frames that are not learnt."""
    image, audio = config.encoders.image, config.encoders.audio
    encoders: list[tuple[str, ImageEncoderConfig | AudioEncoderConfig, float, int]] = [
        ("image", image, _vision(image, vocabulary), workload.picture),
        ("audio", audio, _conformer(audio), workload.clip),
    ]
    parts = dict.fromkeys((*TOWERS.values(), PROJECTORS), 0.0)
    gradless = frozen = scores = 0.0
    for name, encoder, products, length in encoders:
        if not encoder.layers:
            continue
        attention = 4.0 * encoder.width * length
        read = getattr(workload.mix, name) * (1 - getattr(workload.learnt, name))
        parts[TOWERS[name]] = read * (products + encoder.layers * attention)
        parts[PROJECTORS] += read * 2.0 * config.width * (encoder.width + config.width)
        if encoder.frozen:
            frozen += parts[TOWERS[name]]
            gradless += read * 2.0 * config.width * encoder.width
        else:
            scores += read * encoder.layers * attention
            gradless += read * 2.0 * vocabulary.patch_values * encoder.width * (name == "image")
    return Encoding(parts, gradless, frozen, scores)


def _vision(config: ImageEncoderConfig, vocabulary: Vocabulary) -> float:
    """One patch: its projection; in each layer four projections of the attention, and two of the feed-forward."""
    block = 8.0 * config.width**2 + 4.0 * config.width * config.hidden
    return 2.0 * vocabulary.patch_values * config.width + config.layers * block


def _conformer(config: AudioEncoderConfig) -> float:
    """One frame: in each layer two feed-forward networks, four projections, and a convolution between two products."""
    width = config.width
    convolution = 6.0 * width**2 + 2.0 * width * config.kernel
    return config.layers * (8.0 * width * config.hidden + 8.0 * width**2 + convolution)
