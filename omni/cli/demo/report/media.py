"""Pictures and clips as HTML that needs no other file."""

from __future__ import annotations

import base64

import numpy as np
from jaxtyping import Float, UInt8

from omni.cli.demo.report.markup import Markup, tag
from omni.media import encode_flac, encode_png
from omni.sequence import Audio

_BARS = 40
_BAR_HEIGHT = 20.0
_SMALL_PICTURE = 32  # pixels; up to here a picture is enlarged, with its pixels as squares


def data_uri(content: bytes, kind: str) -> str:
    """The content of a file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture(pixels: UInt8[np.ndarray, "_ _ 3"], description: str) -> Markup:
    """An image; ``description`` is read out to those who can't see it."""
    small = max(pixels.shape[:2]) <= _SMALL_PICTURE
    return tag(
        "img",
        src=data_uri(encode_png(pixels), "image/png"),
        alt=description,
        class_="pixels" if small else "drawing",
        width=pixels.shape[1],
        height=pixels.shape[0],
    )


def clip(audio: Audio, description: str) -> Markup:
    """A player and the outline of the waveform; a script of the page turns the two into one button."""
    if not len(audio.waveform) or not np.isfinite(audio.waveform).all():
        return tag("span", "(no sound)", class_="nothing")
    source = data_uri(encode_flac(audio.waveform, audio.sample_rate), "audio/flac")
    player = tag("audio", controls=True, preload="none", src=source, title=description)
    return tag("span", player, _outline(audio.waveform), class_="clip")


def _outline(waveform_W: Float[np.ndarray, " W"]) -> Markup:
    """The loudness over time as bars, mirrored at the middle."""
    places = np.linspace(0, len(waveform_W), _BARS, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(np.abs(waveform_W), places)
    heights = np.maximum(peaks / max(float(peaks.max()), 1e-9) * _BAR_HEIGHT, 1.0)
    path = "".join(
        f"M{2 * bar + 1} {(_BAR_HEIGHT - height) / 2:.1f}v{height:.1f}" for bar, height in enumerate(heights)
    )
    size = f"0 0 {2 * _BARS} {_BAR_HEIGHT:.0f}"
    return tag("svg", tag("path", d=path), viewBox=size, aria_hidden="true", preserveAspectRatio="none")
