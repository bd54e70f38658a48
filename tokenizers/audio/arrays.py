"""Checks of codes and waveforms, and arrays as bytes: what the audio codecs share."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float, Int


def check_codes(
    codes_FK: Int[np.ndarray, "F K"], codebooks: int, codebook_size: int
) -> Int[np.ndarray, "F K"]:
    """The codes as int64.

    Raises:
        ValueError: not a table of ``codebooks`` columns, or a code outside [0, ``codebook_size``).
    """
    if codes_FK.ndim != 2 or codes_FK.shape[1] != codebooks:
        raise ValueError(f"audio codes of shape {codes_FK.shape}, expected (frames, {codebooks})")
    outside = (codes_FK < 0) | (codes_FK >= codebook_size)
    if outside.any():
        frame, level = np.argwhere(outside)[0]
        raise ValueError(
            f"audio code {codes_FK[frame, level]} at frame {frame}, codebook {level}: "
            f"expected 0 to {codebook_size - 1}"
        )
    return codes_FK.astype(np.int64, copy=False)


def npy_bytes(array: np.ndarray) -> bytes:
    """The array as a ``.npy`` file; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def npy_array(content: bytes) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
        ValueError: damaged, or pickled objects, which are never loaded.
    """
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # numpy raises ValueError, SyntaxError, TokenError ... for a damaged file
        message = f"{len(content)} bytes, no .npy file of numbers, or damaged"
        raise ValueError(message) from None  # numpy's own message advises allow_pickle


def padded_to_frames(
    waveform_W: Float[np.ndarray, " W"], samples_per_frame: int
) -> Float[np.ndarray, " padded"]:
    """The waveform as float32, with silence appended to fill its last frame."""
    padded_W = np.zeros(-(-len(waveform_W) // samples_per_frame) * samples_per_frame, np.float32)
    padded_W[: len(waveform_W)] = waveform_W
    return padded_W
