"""What a growing answer has to say since it was last asked: characters, samples, pictures."""

from __future__ import annotations

import numpy as np

from omni.inference.request import Event, Picture, SoundPiece, TextPiece
from omni.inference.row import Phase, Row
from omni.inference.text_run import TextRun
from omni.modality import AUDIO, IMAGE
from omni.sequence import Image
from omni.tokenizers.audio.base import StreamDecoder

FRAMES = 5
"""Codec frames that are decoded at once."""


class Stream:
    """Watches one row. Sound is decoded causally, so its phases can differ from those of the finished clip."""

    def __init__(self, row: Row) -> None:
        self.row, self.layout = row, row.layout
        self.at = len(row.builder.modality)
        self.patches = len(row.builder.patches)
        self.clip, self.said = len(row.builder.codes), 0
        """Where the newest clip begins among the codes, and how many of its frames were decoded."""
        self.run: TextRun = row.run
        self.decoder: StreamDecoder | None = None

    def news(self) -> list[Event]:
        """Events since the last call; all that is left once the row is done."""
        builder, found = self.row.builder, list[Event]()
        closing = self.layout.closing
        ends = {closing[IMAGE.id]: self._picture, closing[AUDIO.id]: self._end_of_clip}
        for at in range(self.at, len(builder.modality)):
            end = ends.get(builder.text_ids[at]) if builder.modality[at] not in (IMAGE.id, AUDIO.id) else None
            if end is not None:
                found += end()
            elif builder.text_ids[at] in self.layout.opening.values():
                found += self._text(True)
        self.at = len(builder.modality)
        if self.layout.audio.whole(len(builder.codes) - self.clip) - self.said >= FRAMES:
            found += self._sound(ends=False)
        return found + self._text(self.row.phase is Phase.DONE)

    def _text(self, ended: bool) -> list[Event]:
        text = self.run.news(ended)
        if ended or self.run is not self.row.run:
            self.run = self.row.run
        return [TextPiece(text)] if text else []

    def _picture(self) -> list[Event]:
        rows, cols = self.row.grid
        patches = np.array(self.row.builder.patches[self.patches :], dtype=np.float32)
        self.patches += len(patches)
        pixels = self.layout.tokenizers.image.decode(patches, rows, cols)
        return [Picture(Image(pixels, role=self.row.role))]

    def _end_of_clip(self) -> list[Event]:
        return self._sound(ends=True)

    def _sound(self, ends: bool) -> list[Event]:
        codec, rows = self.layout.tokenizers.audio, self.row.builder.codes[self.clip :]
        self.decoder = self.decoder or codec.stream()
        parts = []
        rows_RK = np.array(rows, dtype=np.int64).reshape(-1, codec.codebooks)
        codes_FK = self.layout.audio.read(rows_RK, codec.codebook_size)
        if len(codes_FK) > self.said:
            parts.append(self.decoder.push(codes_FK[self.said :]))
            self.said = len(codes_FK)
        if ends:
            parts.append(self.decoder.flush())
            self.decoder = None
            self.clip, self.said = len(self.row.builder.codes), 0
        waveform = np.concatenate(parts)
        return [SoundPiece(waveform, codec.sample_rate, ends)] if ends or len(waveform) else []
