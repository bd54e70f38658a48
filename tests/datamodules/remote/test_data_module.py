"""Training data from a URL: the batches of the local folder, whatever the workers, and on from any step."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.stream.loader import PlannedLoader
from omni.datamodules.stream.plan_config import PlanConfig
from omni.sequence import OmniBatch
from tests.datamodules.remote.stores import QUICK, http_store
from tests.datamodules.remote.test_reader import upload
from tests.tiny import tiny_documents
from tests.tiny_run import tiny_tokenizers, write_measured

STEPS = 12
PLAN = PlanConfig(row_length=100, global_rows=2, window=12, run=4)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of six documents, and tokenizers."""
    folder = tmp_path_factory.mktemp("corpus")
    tiny_tokenizers().save(folder / "tokenizers")
    write_measured(tiny_documents(24), folder / "train", folder / "tokenizers", per_shard=6)
    return folder


def loader(corpus: Path, train: str, workers: int, remote: RemoteConfig) -> PlannedLoader[OmniBatch]:
    data = OmniDataModule(
        str(corpus / "tokenizers"), train, None, PLAN, batch_rows=2, workers=workers, remote=remote
    )
    data.setup("fit")
    return data.train_dataloader()


def assert_same(first: OmniBatch, second: OmniBatch) -> None:
    for (name, one), (_, other) in zip(vars(first).items(), vars(second).items(), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, name


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_local_folder(workers: int, corpus: Path, tmp_path: Path) -> None:
    size = max(path.stat().st_size for path in (corpus / "train").glob("*.tar"))
    config = RemoteConfig(
        cache=str(tmp_path), budget_bytes=int(2.5 * size), retry=QUICK, ahead=3, patience=300.0
    )
    expected = list(islice(loader(corpus, str(corpus / "train"), 0, config), STEPS))
    with http_store() as store:
        upload(store, corpus / "train")
        stopped = loader(corpus, store.url, workers, config)
        found = list(islice(stopped, STEPS // 2))
        resumed = loader(corpus, store.url, 2 - workers, config)
        resumed.load_state_dict(stopped.state_dict())
        for name in ("shard-000000.tar", "shard-000003.tar"):
            store.fail(name, 503, "drop")
        found += islice(resumed, STEPS - STEPS // 2)
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)
