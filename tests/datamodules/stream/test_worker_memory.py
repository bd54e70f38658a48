"""Workers hold no more memory after ten epochs than after the first few."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images

from omni.datamodules.shards.index_folder import index_folder
from tests.tiny import tiny_tokenizers, write_tar

DOCUMENTS, WARM = 48, 3
SIDE = 224


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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_workers_is_flat(tmp_path: Path) -> None:
    """A leak of the pictures would add 7 MiB an epoch, one of their files 0.5."""
    folder = write_photographs(tmp_path)
    command = [sys.executable, "-m", "tests.datamodules.stream.worker_memory", str(folder), str(DOCUMENTS)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    pss: list[float] = json.loads(done.stdout.splitlines()[-1])
    assert max(pss[WARM:]) - min(pss[WARM:]) < 2.0, pss
