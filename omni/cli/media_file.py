"""Pictures and clips of answers as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omni.sequence import Segment


def write_media(path: Path, segment: Segment) -> None:
    """Write a picture as PNG or a clip as WAV."""
    from omni.media import encode_png, write_wav
    from omni.sequence import Audio, Image

    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(segment, Image):
        path.write_bytes(encode_png(segment.pixels))
    else:
        assert isinstance(segment, Audio), segment
        write_wav(path, segment.waveform, segment.sample_rate)
