"""How a document becomes a sequence of positions, and back: all layout rules, encode and decode side by side.

``[user: picture of 2x2 patches, "which?"] [assistant: "six"]`` becomes, one position each::

    <|begin|> <|user|> <|image|> <|size:2|> <|size:2|> P P P P <|/image|> which ? <|end|>
    <|assistant|> six <|end|>

* ``<|end|>`` closes a turn, and a document that ends without one. What belongs to no role has no markers.
* A picture announces its rows and columns, so its length is known before its first patch.
* A clip is one position per codec frame, or as another ``omni.code_layout`` says. After the last one the audio
  head predicts the end, so ``<|/audio|>`` costs no choice of the text head. ``<|/image|>`` follows from the grid
  and is never a target.
* Rotary coordinates (time, row, column), as in Qwen2-VL (arXiv 2409.12191): text and audio advance all three
  together; patches share the time of their picture and spread over rows and columns; what follows goes on
  after the larger side of the grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int, UInt32

from omni.code_layout import LayoutName, code_layout
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import Audio, Document, Image, Role, Segment, Sequence, Text
from omni.spans import SpanList, count_spans
from omni.tokenizers.audio.arrays import check_codes
from omni.tokenizers.bundle import Tokenizers

RULES = 1
"""Number of the rules that decide how many positions a document has; raised when they change."""


@dataclass
class SequenceBuilder:
    """Positions as they are laid down, one after another, with their coordinates."""

    modality: list[int] = field(default_factory=list)
    text_ids: list[int] = field(default_factory=list)
    coords: list[tuple[int, int, int]] = field(default_factory=list)
    loss: list[bool] = field(default_factory=list)
    patches: list[np.ndarray] = field(default_factory=list)  # each (P,)
    codes: list[np.ndarray] = field(default_factory=list)  # each (K,)
    clock: int = 0
    """Coordinate of the next position that advances all axes together."""

    def text(self, token: int, loss: bool) -> None:
        """Lay down a text token."""
        self._advance(TEXT.id, token, loss)

    def frame(self, codes_K: np.ndarray, loss: bool) -> None:
        """Lay down an audio frame."""
        self.codes.append(codes_K)
        self._advance(AUDIO.id, 0, loss)

    def patch(self, patch_P: np.ndarray, index: int, rows: int, cols: int, loss: bool) -> None:
        """Lay down patch number ``index`` of a grid; the clock moves on with the last one."""
        self.patches.append(patch_P)
        self._lay(IMAGE.id, 0, (self.clock, self.clock + index // cols, self.clock + index % cols), loss)
        if index == rows * cols - 1:
            self.clock += max(rows, cols)

    def _advance(self, modality: int, token: int, loss: bool) -> None:
        self._lay(modality, token, (self.clock,) * 3, loss)
        self.clock += 1

    def _lay(self, modality: int, token: int, coords: tuple[int, int, int], loss: bool) -> None:
        self.modality.append(modality)
        self.text_ids.append(token)
        self.coords.append(coords)
        self.loss.append(loss)

    def build(self, key: str, patch_values: int, codebooks: int) -> Sequence:
        """The finished sequence."""
        return Sequence(
            modality=np.array(self.modality, dtype=np.uint8),
            text_ids=np.array(self.text_ids, dtype=np.int64),
            coords=np.array(self.coords, dtype=np.int64).reshape(-1, 3),
            loss=np.array(self.loss, dtype=bool),
            patches=np.array(self.patches, dtype=np.float32).reshape(-1, patch_values),
            codes=np.array(self.codes, dtype=np.int64).reshape(-1, codebooks),
            key=key,
        )


@dataclass
class SpanBuilder(SequenceBuilder):
    """Notes spans instead of laying positions down."""

    spans: SpanList = field(default_factory=SpanList)

    def text(self, token: int, loss: bool) -> None:
        """Note a text token."""
        self.spans.add(TEXT.id, 1, loss)


class Layout:
    """Encodes documents with a set of tokenizers, and decodes sequences back into documents."""

    def __init__(self, tokenizers: Tokenizers, audio: LayoutName = "frame") -> None:
        """``audio`` is how codes lie on positions; a model's is ``config.audio.layout``."""
        self.tokenizers = tokenizers
        self.text = tokenizers.text
        self.audio = code_layout(audio, tokenizers.audio.codebooks)
        self.opening = {m.id: self.text.symbol(m.opening) for m in (IMAGE, AUDIO) if m.opening}
        self.closing = {m.id: self.text.symbol(m.closing) for m in (IMAGE, AUDIO) if m.closing}

    # ------------------------------------------------------------------ encode

    def encode(self, document: Document) -> Sequence:
        """The whole document as positions.

        Raises:
            ValueError: a segment can't be encoded; the message names the document and the segment.
        """
        builder = self.encode_open(document)
        last = document.segments[-1]
        builder.text(self.text.end, last.loss)
        return self.finish(builder, document.key)

    def encode_open(self, document: Document) -> SequenceBuilder:
        """The document without its closing ``<|end|>``: a builder that more can be laid onto."""
        builder = SequenceBuilder()
        builder.text(self.text.begin, loss=False)
        self._lay(builder, document, lambda segment: self._encode_segment(builder, segment))
        return builder

    def _lay(self, builder: SequenceBuilder, document: Document, lay: Callable[[Segment], None]) -> None:
        """``lay`` each segment behind what opens its turn; errors name document and segment."""
        previous: Segment | None = None
        for number, segment in enumerate(document.segments):
            self.open_turn(builder, segment.role, previous)
            try:
                lay(segment)
            except ValueError as error:
                name = segment.modality.name
                raise ValueError(f"{document.where}: segment {number} ({name}): {error}") from error
            previous = segment

    def open_turn(self, builder: SequenceBuilder, role: Role | None, previous: Segment | None) -> None:
        """Lay down what stands between ``previous`` and a segment of ``role``."""
        before = previous.role if previous else None
        if role == before:
            return
        if previous is not None and before is not None:
            builder.text(self.text.end, previous.loss)
        if role is not None:
            builder.text(self.text.role(role), loss=False)

    def finish(self, builder: SequenceBuilder, key: str) -> Sequence:
        """The builder's positions as a sequence."""
        return builder.build(key, self.tokenizers.image.patch_values, self.tokenizers.audio.codebooks)

    def _encode_segment(self, builder: SequenceBuilder, segment: Segment) -> None:
        if isinstance(segment, Text):
            for token in self.text.encode(segment.text):
                builder.text(token, segment.loss)
        elif isinstance(segment, Image):
            self._encode_image(builder, segment)
        else:
            self._encode_audio(builder, segment)

    def _encode_image(self, builder: SequenceBuilder, image: Image) -> None:
        patches_IP, rows, cols = self.tokenizers.image.encode(image.pixels)
        for token in (self.opening[IMAGE.id], self.text.size(rows), self.text.size(cols)):
            builder.text(token, image.loss)
        for index, patch_P in enumerate(patches_IP):
            builder.patch(patch_P, index, rows, cols, image.loss)
        builder.text(self.closing[IMAGE.id], loss=False)

    def _encode_audio(self, builder: SequenceBuilder, audio: Audio) -> None:
        codec = self.tokenizers.audio
        codes_FK = check_codes(codec.encode_audio(audio), codec.codebooks, codec.codebook_size)
        if len(codes_FK) == 0:
            raise ValueError("zero-length audio")
        builder.text(self.opening[AUDIO.id], audio.loss)
        for codes_K in self.audio.lay(codes_FK, codec.codebook_size):
            builder.frame(codes_K, audio.loss)
        builder.text(self.closing[AUDIO.id], audio.loss)

    # ----------------------------------------------------------------- measure

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the number of positions or targets of a document could."""
        image, codec = self.tokenizers.image.config, self.tokenizers.audio
        grid = (image.patch_size, image.max_patches, image.max_grid)
        frames = (codec.fingerprint, codec.sample_rate, codec.samples_per_frame, codec.codebooks)
        name = () if self.audio.name == "frame" else (self.audio.name,)
        digest = hashlib.sha256(repr((RULES, grid, frames, *name)).encode())
        digest.update(self.text.model)
        return digest.hexdigest()[:16]

    def measure(self, document: Document) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
        """Positions and training targets by modality that ``encode`` would give, without encoding.

        The positions sum to ``len(encode(document))``, the targets are its ``target_counts()``; errors as of
        ``spans``.
        """
        return count_spans(self.spans(document))

    def spans(self, document: Document) -> UInt32[np.ndarray, " spans"]:
        """What ``encode`` would lay down, in short (see ``omni.spans``), without encoding.

        Of pictures, waveforms and codes only the shape is looked at, so that an outline of the document does
        (``omni.datamodules.shards.outline``).

        Raises:
            ValueError: as ``encode``, but for what only the content tells (NaN samples, codes out of range).
        """
        builder = SpanBuilder()
        builder.text(self.text.begin, loss=False)
        self._lay(builder, document, lambda segment: self._add_span(builder.spans, segment))
        builder.text(self.text.end, document.segments[-1].loss)
        return builder.spans.array()

    def _add_span(self, spans: SpanList, segment: Segment) -> None:
        if isinstance(segment, Text):
            length = len(self.text.encode(segment.text))
        elif isinstance(segment, Image):
            rows, cols = self._grid(*segment.pixels.shape[:2])
            length = rows * cols + 4
        else:
            length = self.audio.rows(self._frames(segment)) + 2
        spans.add(segment.modality.id, length, segment.loss)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        config = self.tokenizers.image.config
        if 0 < max(height, width) <= min(config.max_grid, config.max_patches) * min(height, width):
            return self.tokenizers.image.grid(height, width)
        # a strip that no grid could show (or nothing at all): its edge is repeated before it is cut
        return self.tokenizers.image.encode(np.zeros((height, width, 3), np.uint8))[1:]

    def _frames(self, audio: Audio) -> int:
        codec = self.tokenizers.audio
        if audio.codes is not None:
            frames, codebooks = audio.codes.shape
            if codebooks != codec.codebooks:
                raise ValueError(
                    f"audio codes of shape {audio.codes.shape}, expected (frames, {codec.codebooks})"
                )
        else:
            samples = -(-len(audio.waveform) * codec.sample_rate // audio.sample_rate)
            frames = -(-samples // codec.samples_per_frame)
        if frames == 0:
            raise ValueError("zero-length audio")
        return frames

    # ------------------------------------------------------------------ decode

    def decode(self, sequence: Sequence) -> Document:
        """The document of a sequence: equal to the encoded one, ``merged()``, up to resize and codec loss.

        A part of a sequence may be decoded too, where it begins and ends between clips.

        Raises:
            ValueError: the positions break the layout's grammar; the message says where.
        """
        return Document(tuple(_Decoder(self, sequence).segments()), key=sequence.key).merged()


class _Decoder:
    """Walks over a sequence once, collecting segments."""

    def __init__(self, layout: Layout, sequence: Sequence) -> None:
        self.layout, self.sequence = layout, sequence
        self.at = self.patch = self.frame = 0
        self.role: Role | None = None
        self.silent = False  # a turn was opened, and nothing came yet
        self.found: list[Segment] = []
        self.pending: list[int] = []  # text ids not yet made into a segment
        self.pending_loss = False

    def segments(self) -> list[Segment]:
        sequence, text = self.sequence, self.layout.text
        self._check_counts()
        while self.at < len(sequence):
            if sequence.modality[self.at] != TEXT.id:
                raise ValueError(f"{sequence.key}: position {self.at} is not opened by a marker")
            token = int(sequence.text_ids[self.at])
            if token in (text.begin, text.end) or token in text.roles:
                self._close_turn(bool(sequence.loss[self.at]))
                self.role = text.roles.get(token)
                self.silent = self.role is not None
                self.at += 1
            elif token == self.layout.opening[IMAGE.id]:
                self._flush()
                self._image()
            elif token == self.layout.opening[AUDIO.id]:
                self._flush()
                self._audio()
            else:
                self._text(token)
        self._flush()
        if not self.found:
            self._add(Text(""), bool(sequence.loss.any()))
        return self.found

    def _check_counts(self) -> None:
        sequence = self.sequence
        for modality, held in ((IMAGE, len(sequence.patches)), (AUDIO, len(sequence.codes))):
            count = int((sequence.modality == modality.id).sum())
            if count != held:
                raise ValueError(f"{sequence.key}: {count} {modality.name} positions, but content for {held}")

    def _close_turn(self, loss: bool) -> None:
        self._flush()
        if self.silent:
            self._add(Text(""), loss)

    def _text(self, token: int) -> None:
        if token in self.layout.text.control_ids:
            symbol = self.layout.text.pieces.id_to_piece(token)
            raise ValueError(
                f"{self.sequence.key}: {symbol} at position {self.at} closes or announces nothing"
            )
        loss = bool(self.sequence.loss[self.at])
        if self.pending and loss != self.pending_loss:
            self._flush()
        self.pending.append(token)
        self.pending_loss = loss
        self.at += 1

    def _flush(self) -> None:
        if self.pending:
            self._add(Text(text=self.layout.text.decode(self.pending)), self.pending_loss)
            self.pending = []

    def _add(self, segment: Segment, loss: bool) -> None:
        self.found.append(replace(segment, role=self.role, loss=loss))
        self.silent = False

    def _close(self, modality_id: int, count: int) -> None:
        """Check ``count`` positions of a clip and its closing marker, and step over them."""
        sequence = self.sequence
        inside = sequence.modality[self.at : self.at + count]
        stop = self.at + count
        closed = stop < len(sequence) and sequence.text_ids[stop] == self.layout.closing[modality_id]
        if count == 0 or not closed or not (inside == modality_id).all():
            raise ValueError(
                f"{sequence.key}: the clip at position {self.at} is empty, or not {count} positions of its "
                f"modality and a closing marker"
            )
        self.at = stop + 1

    def _image(self) -> None:
        loss = bool(self.sequence.loss[self.at])
        announced = self.sequence.text_ids[self.at + 1 : self.at + 3]
        grid = [self.layout.text.sizes.get(int(token)) for token in announced]
        if len(grid) != 2 or grid[0] is None or grid[1] is None:
            raise ValueError(
                f"{self.sequence.key}: no grid size after the image marker at position {self.at}"
            )
        rows, cols = grid[0], grid[1]
        self.at += 3
        self._close(IMAGE.id, rows * cols)
        patches = self.sequence.patches[self.patch : self.patch + rows * cols]
        self.patch += rows * cols
        self._add(Image(self.layout.tokenizers.image.decode(patches, rows, cols)), loss)

    def _audio(self) -> None:
        loss = bool(self.sequence.loss[self.at])
        self.at += 1
        rest = self.sequence.modality[self.at :] != AUDIO.id
        count = int(rest.argmax()) if rest.any() else len(rest)
        self._close(AUDIO.id, count)
        codec = self.layout.tokenizers.audio
        codes = self.layout.audio.read(
            self.sequence.codes[self.frame : self.frame + count], codec.codebook_size
        )
        if len(codes) == 0:
            raise ValueError(
                f"{self.sequence.key}: the clip before position {self.at} has no whole frame in the layout "
                f"{self.layout.audio.name!r}"
            )
        self.frame += count
        self._add(codec.decode_audio(codes), loss)
