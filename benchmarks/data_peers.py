"""Other loaders in ``benchmarks.data``: each with its own format and shuffle, and the decoder and batches of all.

webdataset and Megatron-Energon read the same tars as ours; MosaicML Streaming and LitData get the same files in
their own formats. Each is set up as its documentation does, with its own data loader and worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data_made import FLAC, JPEG, JSON, Batch, Decoded, batched, decode
from omni.datamodules.shards.reader import ShardReader

Epoch = Callable[[], Iterator[Batch]]
"""Gives the batches of one pass over all documents."""
BATCH = 31
"""Documents of a batch, about as many as a row of ours holds."""
SHUFFLED = 1000
"""Documents in the shuffle buffer of those that have one."""


@dataclass(frozen=True)
class Peer:
    """Another loader."""

    name: str
    package: str
    """What pip installs."""
    open: Callable[[Path, Path, int], Epoch]
    """Of (tars, folder of its own, workers); writes its format there. An ``ImportError`` where it isn't installed."""


def open_webdataset(tars: Path, own: Path, workers: int) -> Epoch:
    """https://webdataset.github.io/webdataset: buffer shuffle, batches made by the workers."""
    import webdataset

    urls = sorted(map(str, tars.glob("*.tar")))
    source = webdataset.WebDataset(urls, shardshuffle=len(urls), empty_check=False)
    dataset = source.shuffle(SHUFFLED).map(decode).batched(BATCH, collation_fn=batched)
    return lambda: iter(webdataset.WebLoader(dataset, batch_size=None, num_workers=workers))


def open_energon(tars: Path, own: Path, workers: int) -> Epoch:
    """https://nvidia.github.io/Megatron-Energon: crude samples, a task encoder, the savable loader."""
    from megatron import energon
    from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

    _link(tars, own)
    names = sorted(path.name for path in own.glob("*.tar"))
    WebdatasetPreparator.prepare_dataset(own, names, split_parts_ratio=[("train", 1.0)], workers=1)
    config = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
    (own / ".nv-meta" / "dataset.yaml").write_text(config)

    @energon.edataclass
    class Sample(energon.Sample):  # type: ignore[misc]
        decoded: Decoded

    def cook(crude: dict[str, Any]) -> Sample:
        return Sample(**energon.basic_sample_keys(crude), decoded=decode(crude))

    class Encoder(energon.DefaultTaskEncoder):  # type: ignore[misc]
        decoder = None
        cookers = [energon.Cooker(energon.stateless(cook))]  # noqa: RUF012

        @energon.stateless
        def batch(self, samples: list[Sample]) -> Batch:
            return batched([sample.decoded for sample in samples])

    def epoch() -> Iterator[Batch]:
        dataset = energon.get_train_dataset(
            own,
            worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=workers),
            batch_size=BATCH,
            shuffle_buffer_size=SHUFFLED,
            max_samples_per_sequence=100,
            task_encoder=Encoder(),
            repeat=False,
        )
        return iter(energon.get_savable_loader(dataset))

    return epoch


def open_streaming(tars: Path, own: Path, workers: int) -> Epoch:
    """https://docs.mosaicml.com/projects/streaming: MDS files, its default shuffle."""
    import streaming

    streaming.base.util.clean_stale_shared_memory()
    with streaming.MDSWriter(out=str(own), columns=dict.fromkeys((JSON, JPEG, FLAC), "bytes")) as writer:
        for members in _members(tars):
            writer.write(members)

    class Documents(streaming.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: int) -> Decoded:
            return decode(super().__getitem__(at))

    dataset = Documents(local=str(own), shuffle=True, batch_size=BATCH)
    return lambda: iter(
        streaming.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=batched)
    )


def open_litdata(tars: Path, own: Path, workers: int) -> Epoch:
    """https://github.com/Lightning-AI/litData: chunks of 64 MB, shuffled."""
    import litdata
    from litdata.streaming.writer import BinaryWriter

    own.mkdir()
    writer = BinaryWriter(str(own), chunk_bytes="64MB")
    for number, members in enumerate(_members(tars)):
        writer.add_item(number, members)
    writer.done()
    writer.merge()

    class Documents(litdata.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: Any) -> Decoded:
            return decode(super().__getitem__(at))

    dataset = Documents(str(own), shuffle=True)
    return lambda: iter(
        litdata.StreamingDataLoader(
            dataset, batch_size=BATCH, num_workers=workers, shuffle=True, collate_fn=batched
        )
    )


def _link(tars: Path, own: Path) -> None:
    own.mkdir()
    for tar in tars.glob("*.tar"):
        os.link(tar, own / tar.name)


def _members(tars: Path) -> Iterator[dict[str, bytes]]:
    reader = ShardReader(tars)
    return (reader.members(number) for number in range(len(reader)))


PEERS = (
    Peer("webdataset", "webdataset", open_webdataset),
    Peer("energon", "megatron-energon", open_energon),
    Peer("streaming", "mosaicml-streaming", open_streaming),
    Peer("litdata", "litdata", open_litdata),
)
