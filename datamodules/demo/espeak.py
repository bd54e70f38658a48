"""The eSpeak NG synthesiser: ctypes on the library of the ``espeakng-loader`` wheel, in a process of its own.

The library carries state from one utterance to the next (pitch flutter, echo, noise), so the same words sound
a little different the second time. A fresh process makes the speech a function of the utterances asked for,
and no crash of the library can end a training run.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

SAMPLE_RATE = 22_050
"""Of what the synthesiser returns, Hz."""

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: the callback gets the samples before espeak_Synth returns
_DONT_EXIT = 0x8000  # espeak_Initialize returns an error instead of ending the process
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_POSITION_CHARACTER = 1
_CHARS_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Utterance:
    """Something to be said, and how."""

    text: str
    voice: str
    """An eSpeak NG voice, such as ``en-us``, or with a variant ``en-us+f2``; it ignores unknown variants."""
    rate: int = 175
    """Words a minute, 80 to 450."""
    pitch: int = 50
    """0 to 100."""


def speak(utterances: Sequence[Utterance]) -> list[Float[np.ndarray, " W"]]:
    """The utterances as float32 waveforms at ``SAMPLE_RATE``; equal lists of utterances give equal waveforms.

    Raises:
        ImportError: the ``espeakng-loader`` wheel isn't installed.
        RuntimeError: the synthesiser failed, for example on a voice it doesn't have; says what it printed.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise ImportError(
            "synthetic speech needs eSpeak NG (the espeakng-loader wheel), which isn't installed: "
            "run `pip install -e '.[demo]'`, or give a folder of recordings instead"
        )
    orders = json.dumps([asdict(utterance) for utterance in utterances]).encode()
    worker = subprocess.run([sys.executable, "-m", __name__], input=orders, capture_output=True)
    if worker.returncode != 0:
        lines = worker.stderr.decode(errors="replace").strip().splitlines() or ["nothing printed"]
        raise RuntimeError(f"eSpeak NG failed with exit status {worker.returncode}: {lines[-1]}")
    lengths = np.frombuffer(worker.stdout, dtype=np.int64, count=len(utterances))
    samples = np.frombuffer(worker.stdout, dtype=np.int16, offset=lengths.nbytes)
    if lengths.sum() != len(samples):
        raise RuntimeError(f"eSpeak NG returned {len(samples)} samples, announced were {lengths.sum()}")
    return [part.astype(np.float32) / 32768 for part in np.split(samples, np.cumsum(lengths)[:-1])]


class _Synthesiser:
    """The library in this process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data.parent), _DONT_EXIT)
        if rate != SAMPLE_RATE:
            raise RuntimeError(
                f"eSpeak NG started with sample rate {rate}, expected {SAMPLE_RATE}; data at {data}"
            )
        self._chunks: list[bytes] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only the bare pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on

    def say(self, utterance: Utterance) -> bytes:
        """The samples, int16."""
        status = self._library.espeak_SetVoiceByName(utterance.voice.encode())
        if status != 0:
            raise ValueError(f"eSpeak NG has no voice {utterance.voice!r} (status {status})")
        self._library.espeak_SetParameter(_RATE, utterance.rate, 0)
        self._library.espeak_SetParameter(_PITCH, utterance.pitch, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # of the noise; at the start it is the time
        self._chunks.clear()
        text = utterance.text.encode()
        size = ctypes.c_size_t(len(text) + 1)
        status = self._library.espeak_Synth(text, size, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        if status != 0 or not self._chunks:
            raise RuntimeError(f"eSpeak NG could not speak {utterance} (status {status})")
        return b"".join(self._chunks)


def _serve() -> None:
    """Read utterances as JSON from stdin; write their lengths (int64) and their samples (int16) to stdout."""
    synthesiser = _Synthesiser()
    clips = [synthesiser.say(Utterance(**order)) for order in json.load(sys.stdin)]
    sys.stdout.buffer.write(np.array([len(clip) // 2 for clip in clips], dtype=np.int64).tobytes())
    sys.stdout.buffer.write(b"".join(clips))


if __name__ == "__main__":
    _serve()
