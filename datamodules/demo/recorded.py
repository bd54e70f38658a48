"""Recorded digit words: a folder in the naming of the Free Spoken Digit Dataset."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from omni.datamodules.demo.speech import DIGIT_WORDS, SpeechSplit, SpokenWord, cleaned
from omni.media import MediaError, read_audio

PATTERN = "{digit}_{speaker}_{take}.wav"
HELDOUT_TAKES = range(5)
"""The data set's own test split."""

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>.+)_(?P<take>[0-9]+)\.wav", re.ASCII | re.IGNORECASE)


def recorded_words(folder: Path, progress: Callable[[int, int], None] | None = None) -> SpeechSplit:
    """The recordings in ``folder``, takes 0 to 4 of every speaker and digit held out.

    Any sample rate and stereo are converted; silence at the ends is cut. Files that can't be used
    (unreadable, empty, NaN samples, silent, too long, another name) are listed in ``skipped``. ``progress``
    is called with the number of files done and in all.

    Raises:
        ValueError: no such folder, no usable file, or a digit without training or held-out recordings.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected one with recordings named {PATTERN}")
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() == ".wav")
    train: list[SpokenWord] = []
    heldout: list[SpokenWord] = []
    skipped: dict[str, str] = {}
    for done, path in enumerate(files, start=1):
        try:
            word = _read(path)
        except MediaError as error:
            skipped[path.name] = str(error)
        else:
            (heldout if int(word.take) in HELDOUT_TAKES else train).append(word)
        if progress is not None:
            progress(done, len(files))
    if not train and not heldout:
        raise ValueError(
            f"{folder}: no recordings named {PATTERN}, such as 7_theo_12.wav, that can be read; "
            f"{len(files)} .wav files there"
            + "".join(f"; {name}: {why}" for name, why in list(skipped.items())[:3])
        )
    return SpeechSplit(tuple(train), tuple(heldout), origin=f"recordings in {folder}", skipped=skipped)


def _read(path: Path) -> SpokenWord:
    parts = _NAME.fullmatch(path.name)
    if parts is None:
        raise MediaError(f"{path}: the name isn't {PATTERN} with a digit from 0 to 9")
    waveform_W, rate = read_audio(path)
    try:
        audio = cleaned(waveform_W, rate)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    return SpokenWord(DIGIT_WORDS[int(parts["digit"])], parts["speaker"], str(int(parts["take"])), audio)
