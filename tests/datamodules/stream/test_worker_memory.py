"""Workers hold no more memory after ten epochs than after the first few."""

from __future__ import annotations

import gc
import io
import json
import multiprocessing
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.index_folder import index_folder
from omni.datamodules.stream.plan_config import PlanConfig
from tests.tiny import tiny_tokenizers, write_tar

DOCUMENTS, EPOCHS, WARM = 48, 10, 3
SIDE, WORKERS = 224, 2


def jpeg(number: int) -> bytes:
    """A piece of a photograph, another one for each number."""
    photograph = load_sample_images().images[number % 2]
    random = np.random.default_rng(number)
    top, left = (int(random.integers(extent - SIDE)) for extent in photograph.shape[:2])
    buffer = io.BytesIO()
    PILImage.fromarray(photograph[top : top + SIDE, left : left + SIDE]).save(buffer, format="JPEG")
    return buffer.getvalue()


def write_photographs(folder: Path) -> Path:
    """Two shards of pictures with a caption."""
    tiny_tokenizers().save(folder / "tokenizers")
    (folder / "train").mkdir()
    for shard in range(2):
        members = []
        for number in range(shard, DOCUMENTS, 2):
            picture = {"type": "image", "file": "jpg", "width": SIDE, "height": SIDE}
            head = {"version": 1, "segments": [picture, {"type": "text", "text": "Said the reader."}]}
            members += [
                (f"{number:03d}.json", json.dumps(head).encode()),
                (f"{number:03d}.jpg", jpeg(number)),
            ]
        write_tar(folder / "train" / f"shard-{shard:06d}.tar", members)
    index_folder(folder / "train", folder / "tokenizers")
    return folder


def worker_memory() -> float:
    """MiB of the processes that this one has started; a page that n of them share counts 1/n for each."""
    pss = 0
    for process in multiprocessing.active_children():
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
        assert found, rollup
        pss += int(found[1])
    return pss / 1024


@pytest.fixture
def settled() -> Iterator[None]:
    """No collection of garbage, here or in a worker, writes to the pages that they share from the start."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.usefixtures("settled")
def test_memory_of_workers_is_flat(tmp_path: Path) -> None:
    """A leak of the pictures would add 7 MiB an epoch, one of their files 0.5."""
    folder = write_photographs(tmp_path)
    plan = PlanConfig(row_length=256, global_rows=2)
    data = OmniDataModule(
        str(folder / "tokenizers"),
        str(folder / "train"),
        None,
        plan,
        batch_rows=2,
        workers=WORKERS,
        worker_kind="process",
    )
    data.setup("fit")
    pss: list[float] = []
    documents = 0
    for batch in data.train_dataloader():
        documents += len(batch.keys)
        if documents >= DOCUMENTS * (len(pss) + 1):
            assert len(multiprocessing.active_children()) == WORKERS
            pss.append(worker_memory())
        if len(pss) == EPOCHS:
            break
    assert max(pss[WARM:]) - min(pss[WARM:]) < 2.0, pss
