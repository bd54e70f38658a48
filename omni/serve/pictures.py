"""Drawn pictures as files."""

from __future__ import annotations

import io

from PIL import Image as PILImage
from PIL import ImageOps

from omni.sequence import Image
from omni.serve.schema.images import PictureFormat

PAPER = (255, 255, 255)
"""What surrounds a picture whose shape is not the wanted one."""
QUALITY = 95
"""Of lossy formats, where the request names none."""


def encode_picture(
    image: Image, format_: PictureFormat, size: tuple[int, int] | None, compression: int | None
) -> bytes:
    """A picture as a file.

    Args:
        image: as it was drawn.
        format_: of the file.
        size: width and height that it is scaled into; its own by default.
        compression: of lossy formats, 100 for the most quality.
    """
    picture = PILImage.fromarray(image.pixels)
    if size is not None:
        picture = ImageOps.pad(picture, size, PILImage.Resampling.BICUBIC, color=PAPER)
    buffer = io.BytesIO()
    options = {} if format_ == "png" else {"quality": QUALITY if compression is None else compression}
    picture.save(buffer, format=format_.upper(), **options)
    return buffer.getvalue()
