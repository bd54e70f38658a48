"""Encodes the clips of shards ahead of time: each gets its codec codes, ``KEY.n.npy``, uint16 ``(F, K)``.

Everything else is copied as it is. Training with the same codec then reads the codes in place of encoding the clip,
and gets the same sequences.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.copying import refuse_same
from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.format import (
    CODES_SUFFIX,
    JSON_SUFFIX,
    codes_file,
    codes_size,
    head_of,
    json_of,
    media_in,
    modality_of,
    segment_from,
    stored_codes,
)
from omni.datamodules.shards.parallel import Written, write_shards_parallel
from omni.datamodules.shards.pool import Workers
from omni.datamodules.shards.reader import ShardReader, read_members
from omni.datamodules.shards.shard_folder import ShardAt
from omni.datamodules.shards.shard_index import read_index
from omni.datamodules.shards.tar_files import TarFiles
from omni.datamodules.shards.writer import Members
from omni.media import resample
from omni.modality import AUDIO
from omni.sequence import Audio
from omni.tokenizers.audio.batches import BatchEncoder
from omni.tokenizers.audio.registry import load_codec
from omni.tokenizers.bundle import AUDIO_FOLDER, Tokenizers

NOT_TOKENIZED_FILE = "not_tokenized.jsonl"
BATCH = 32
"""Clips that go through a codec's network at a time on a GPU."""
WAITING_BATCHES = 8
"""Batches whose documents wait for one another, so that clips of one length can be found among them."""


@dataclass
class _Opened:
    """A document whose clips are to be encoded."""

    key: str
    members: dict[str, bytes]
    head: dict[str, Any]
    clips: dict[int, Audio]
    """By the number of the segment."""


@dataclass(frozen=True)
class TokenizedShard:
    """Makes the documents of a shard with the codes of their clips; ``Damage`` for those that can't be used."""

    place: ShardAt
    tokenizers: Path
    codec: str
    """Fingerprint of the codec in ``tokenizers``."""
    device: str = "cpu"
    batch: int = BATCH

    def __call__(self) -> Iterator[Members | Damage]:
        """The documents in order."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as encoding in training does: sums, and so the codes, depend on the number
        try:
            encoder = _encoder(self.tokenizers, self.codec, self.device, self.batch)
            with self.place.here() as shard:
                yield from self._documents(shard, encoder)
        finally:
            torch.set_num_threads(threads)

    def _documents(self, shard: Path, encoder: BatchEncoder) -> Iterator[Members | Damage]:
        index, files = read_index(shard), TarFiles()
        waiting: list[_Opened | Damage] = []
        clips = 0
        for row in range(len(index)):
            key = index.key(row)
            try:
                opened = _open(shard, key, read_members(files, index, row), self.codec)
                clips += len(opened.clips)
                waiting.append(opened)
            except DocumentError as error:
                waiting.append(self.place.named(Damage.of(str(shard), key, error)))
            if clips >= self.batch * WAITING_BATCHES or len(waiting) >= self.batch * WAITING_BATCHES:
                yield from _encoded(waiting, encoder)
                waiting, clips = [], 0
        yield from _encoded(waiting, encoder)


def _open(shard: Path, key: str, members: dict[str, bytes], codec: str) -> _Opened:
    """The document with its clips that have no codes of ``codec`` yet.

    Raises:
        DocumentError: a wrong field, or a clip that can't be decoded.
    """
    where = f"{shard}[{key}]"
    head, media = json_of(key, members, where), media_in(members)
    clips: dict[int, Audio] = {}
    for number, entry in enumerate(head_of(head, f"{where}.").segments):
        place = f"{where}.segments[{number}]"
        if modality_of(entry, place) is AUDIO and stored_codes(entry, place, media, codec) is None:
            clip = segment_from(entry, place, media, None)
            assert isinstance(clip, Audio), clip
            clips[number] = clip
    return _Opened(key, members, head, clips)


def _encoded(waiting: list[_Opened | Damage], encoder: BatchEncoder) -> Iterator[Members | Damage]:
    clips = [clip for one in waiting if isinstance(one, _Opened) for clip in one.clips.values()]
    rate = encoder.codec.sample_rate
    codes = iter(encoder.encode([resample(clip.waveform, clip.sample_rate, rate) for clip in clips]))
    for one in waiting:
        if isinstance(one, Damage):
            yield one
            continue
        members = dict(one.members)
        for number in one.clips:
            entry, codes_FK = one.head["segments"][number], next(codes)
            members.pop(entry.get("codes"), None)  # another codec's
            name = f"{number}.{CODES_SUFFIX}"
            if name in members:
                name = f"{number}.codes.{CODES_SUFFIX}"
            members[name] = codes_file(codes_FK)
            entry |= {"codes": name, **codes_size(codes_FK), "codec": encoder.fingerprint}
        if one.clips:
            members[JSON_SUFFIX] = json.dumps(one.head).encode()
        yield Members(one.key, members)


def tokenize_shards(
    folder: Path | str,
    out: Path,
    tokenizers: Path,
    *,
    device: str = "cpu",
    batch: int = BATCH,
    workers: Workers = 1,
    max_damaged: float = 0.0,
    report: Callable[[int], None] = lambda done: None,
) -> Written:
    """Write the documents of ``folder`` with the codes of their clips to ``out``, shard by shard; resumable.

    The new shards are measured with the tokenizers, so that training can start at once.

    Args:
        folder: shards with their indexes; a path or URL.
        out: another folder.
        tokenizers: folder of the tokenizers, whose audio codec encodes.
        device: where the codec runs.
        batch: clips at a time on a GPU.
        workers: processes, or a cluster.
        max_damaged: share of the documents that may be damaged; they are left out, and listed in
            ``not_tokenized.jsonl``.
        report: called with the number of shards that are done.

    Raises:
        ValueError: too many are damaged, or see ``write_shards_parallel``.
    """
    refuse_same([folder], out)
    reader = ShardReader(folder)
    codec = BatchEncoder(Tokenizers.load(tokenizers).audio, device, batch).fingerprint
    aside = Quarantine(out, max_damaged, "--max-damaged", NOT_TOKENIZED_FILE, warn=False)
    parts = [
        TokenizedShard(replace(place, path=place.path.resolve()), tokenizers.resolve(), codec, device, batch)
        for place in reader.source.places()
    ]
    identity = f"{reader.fingerprint} with codes of {codec} from {device.split(':')[0]}"
    return write_shards_parallel(
        parts,
        out,
        identity,
        workers,
        report=report,
        tokenizers=tokenizers.resolve(),
        accept=partial(_set_aside, aside, len(reader)),
    )


def _set_aside(aside: Quarantine, documents: int, written: Written) -> None:
    for damage in written.left_out:
        error = DocumentError(damage.error, part=damage.part, kind=damage.kind)
        aside.add(damage.shard, damage.key or "", error)
    aside.close(documents)


@lru_cache(maxsize=1)
def _encoder(tokenizers: Path, codec: str, device: str, batch: int) -> BatchEncoder:
    """Loaded once in each process."""
    encoder = BatchEncoder(load_codec(tokenizers / AUDIO_FOLDER), device, batch)
    if encoder.fingerprint != codec:
        raise ValueError(f"{tokenizers / AUDIO_FOLDER}: another codec than when the work was begun")
    return encoder
