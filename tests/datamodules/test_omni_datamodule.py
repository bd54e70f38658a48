"""The data module: sources with weights, what it prints of them, validation and test, what it keeps in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest

from omni.callbacks.sources import SourceTelemetry
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.sources import SourceConfig
from omni.datamodules.stream.loader import PlannedLoader, Split
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.weights import MixtureConfig
from omni.sequence import Document, OmniBatch
from tests.tiny import tiny_documents
from tests.tiny_run import fit, write_corpus, write_measured

PLAN = PlanConfig(row_length=100, global_rows=2)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """``train`` of 20 documents and ``val`` of 12."""
    write_corpus(tmp_path, tiny_documents(20))
    write_measured(tiny_documents(12, seed=1), tmp_path / "val", tmp_path / "tokenizers")
    return tmp_path


def module(corpus: Path, plan: PlanConfig = PLAN, **settings: Any) -> OmniDataModule:
    train = settings.pop("train", str(corpus / "train"))
    return OmniDataModule(str(corpus / "tokenizers"), train, plan=plan, **{"batch_rows": 2, **settings})


def keys_of(batches: Iterable[OmniBatch]) -> list[str]:
    return [key for batch in batches for key in batch.keys if key]


def once(found: Any) -> PlannedLoader[OmniBatch]:
    assert isinstance(found, PlannedLoader)
    return found


def test_each_folder_says_how_many_documents_are_left_out(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, val = (str(corpus / name) for name in ("train", "val"))
    data = module(corpus, PlanConfig(row_length=28), val=val, batch_rows=1)
    data.setup("fit")
    said = "".join(capsys.readouterr().out.split())
    for folder, usable, too_long in ((train, 18, 2), (val, 8, 4)):
        assert int((data.folders[folder].lengths.table.lengths > 28).sum()) == too_long
        assert f"{folder}:{usable}documents," in said
    assert said.count("positions;2documentsover28positionsleftout") == 1
    assert said.count("positions;4documentsover28positionsleftout") == 1
    assert said.count("%full") == 2
    data.setup("validate")
    assert capsys.readouterr().out == "", "it is said once"


@pytest.mark.parametrize(("policy", "said"), [("truncate", "truncated"), ("split", "split")])
def test_long_documents_are_cut_and_counted(
    corpus: Path, capsys: pytest.CaptureFixture[str], policy: Any, said: str
) -> None:
    """Every position of a split document comes, but for pictures and clips longer than a row."""
    plan = PlanConfig(row_length=28, global_rows=2, too_long=policy)
    data = module(corpus, plan, test=str(corpus / "val"))
    data.setup("test")
    out = "".join(capsys.readouterr().out.split())
    assert f"positions;4documentsover28positions{said}test:" in out and ":12documents," in out
    lengths = data.folders[str(corpus / "val")].lengths.table.lengths
    loader = once(data.test_dataloader())
    batches = list(loader)
    given = sum(int(batch.real.sum()) for batch in batches)
    assert max(len(set(keys_of([batch]))) for batch in batches) > 1
    if policy == "split":
        assert given == lengths.sum()
    else:
        assert lengths[lengths <= 28].sum() + 4 * 20 < given <= np.minimum(lengths, 28).sum()
    assert sum(int(batch.targets.sum()) for batch in batches) == sum(
        sum(step.targets) for step, _ in loader.plan.steps()
    )


def test_the_order_does_not_depend_on_where_the_shards_lie(tmp_path: Path) -> None:
    orders = []
    for name in ("here", "elsewhere"):
        data = module(write_corpus(tmp_path / name, tiny_documents(20)))
        data.setup("fit")
        orders.append([batch.keys for batch, _ in zip(data.train_dataloader(), range(4), strict=False)])
    assert orders[0] == orders[1]


# ------------------------------------------------------------------ several sources


def of_kind(prefix: str, documents: Iterable[Document]) -> list[Document]:
    return [
        Document(one.segments, key=f"{prefix}{one.key}", source=one.source, label=one.label)
        for one in documents
    ]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """``web`` of 40 documents and ``books`` of 8."""
    write_corpus(tmp_path, tiny_documents(4))
    for name, count in (("web", 40), ("books", 8)):
        documents = of_kind(f"{name}-", tiny_documents(count, seed=count))
        write_measured(documents, tmp_path / name, tmp_path / "tokenizers")
    return tmp_path


def two(mixed: Path, *weights: float | None) -> dict[str, SourceConfig]:
    return {
        name: SourceConfig(folder=str(mixed / name), weight=weight)
        for name, weight in zip(("web", "books"), weights, strict=True)
    }


def shares(loader: PlannedLoader[OmniBatch], steps: int) -> dict[str, float]:
    """Share of each source in the positions of the first steps, as the loader counts them."""
    for _ in zip(range(steps), loader, strict=False):
        pass
    counts = loader.counts()
    total = sum(one["positions"] for one in counts.values())
    return {name: one["positions"] / total for name, one in counts.items()}


def test_sources_come_by_their_weights(mixed: Path) -> None:
    data = module(mixed, train=two(mixed, 1.0, 3.0))
    data.setup("fit")
    loader = data.train_dataloader()
    found = shares(loader, 40)
    assert found == pytest.approx({"web": 0.25, "books": 0.75}, abs=0.02)
    counts = loader.counts()
    assert counts["books"]["epochs"] == counts["books"]["documents"] / 8 > 3
    assert counts["web"]["epochs"] == counts["web"]["documents"] / 40 < 3
    assert counts["web"]["damaged"] == 0


def test_weights_may_change_from_a_step_on(mixed: Path) -> None:
    weights = {0: {"web": 1.0, "books": 0.0}, 10: {"web": 0.0, "books": 1.0}}
    plan = PlanConfig(row_length=100, global_rows=2, mixture=MixtureConfig(weights=weights))
    data = module(mixed, plan, train=two(mixed, None, None))
    data.setup("fit")
    prefixes = [
        {key.partition("-")[0] for key in batch.keys if key}
        for batch, _ in zip(data.train_dataloader(), range(20), strict=False)
    ]
    assert prefixes == [{"web"}] * 10 + [{"books"}] * 10


def test_sources_are_named_in_errors(mixed: Path) -> None:
    sources = two(mixed, 1.0, None)
    with pytest.raises(
        ValueError, match=r"data\.train: no weight for \['books'\]; give all sources a weight"
    ):
        module(mixed, train=sources)
    plan = PlanConfig(mixture=MixtureConfig(temperature=2.0))
    with pytest.raises(
        ValueError, match=r"data\.train has the weights .* and data\.plan\.mixture is set, too"
    ):
        module(mixed, plan, train=two(mixed, 1.0, 2.0))
    with pytest.raises(ValueError, match=r"data\.val\.web\.weight is 1, but every document comes once there"):
        module(mixed, val=two(mixed, 1.0, 2.0))
    with pytest.raises(ValueError, match=r"data\.train: no sources, expected a folder or"):
        module(mixed, train={})
    with pytest.raises(ValueError, match=r"mixture\.weights\.0\.books must be a number of at least 0"):
        module(mixed, train=two(mixed, 1.0, -2.0))


def test_the_telemetry_logs_each_source(mixed: Path, tmp_path: Path) -> None:
    """Through Lightning, at the steps that it is asked for."""
    logged: dict[str, float] = {}

    class Look(lightning.Callback):
        def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
            logged.update({name: float(value) for name, value in trainer.logged_metrics.items()})

    fit(write_corpus(tmp_path / "run"), tmp_path / "out", callbacks=[SourceTelemetry(4), Look()])
    mine = {name: value for name, value in logged.items() if name.startswith("data/")}
    assert sorted(mine) == [f"data/shards/{name}" for name in ("damaged", "documents", "epochs", "positions")]
    assert mine["data/shards/documents"] > 60 and mine["data/shards/damaged"] == 0


# ------------------------------------------------------------------ validation and test


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_testing_sees_every_document_once_on_any_number_of_ranks(mixed: Path, world: int) -> None:
    """Several sources; ranks that run short get rows without documents, and all have as many batches."""
    data = module(mixed, test=two(mixed, None, None), batch_rows=world)
    data.setup("test")
    loader = once(data.test_dataloader())
    ranks = [
        list(
            PlannedLoader(loader.plan, loader.batches, Split(batch_rows=1, rank=r, world=world), len(loader))
        )
        for r in range(world)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    seen = [key for batches in ranks for key in keys_of(batches)]
    assert len(seen) == 48 and len(set(seen)) == 48
    rows = sum(bool(row.any()) for batches in ranks for batch in batches for row in batch.real)
    assert rows <= world * len(loader)
    positions = sum(int(batch.real.sum()) for batches in ranks for batch in batches)
    assert positions == sum(int(one.lengths.table.lengths.sum()) for one in data.folders.values())


def test_each_source_is_validated_by_itself(mixed: Path) -> None:
    """A loader for each, with the documents that the source gives alone; a folder has one loader as ever."""
    by_name = module(mixed, val=two(mixed, None, None), val_rows=10_000)
    by_name.setup("validate")
    loaders = by_name.val_dataloader()
    assert isinstance(loaders, dict) and list(loaders) == ["web", "books"]
    for name, count in (("web", 40), ("books", 8)):
        keys = keys_of(list(loaders[name]))
        assert len(keys) == count and all(key.startswith(f"{name}-") for key in keys)
    alone = module(mixed, val=str(mixed / "web"), val_rows=10_000)
    alone.setup("validate")
    assert sorted(keys_of(list(once(alone.val_dataloader())))) == sorted(keys_of(list(loaders["web"])))


def test_val_rows_are_the_first_and_test_has_all(corpus: Path) -> None:
    val = str(corpus / "val")
    few, many = (module(corpus, val=val, test=val, val_rows=rows) for rows in (2, 10_000))
    for data in (few, many):
        data.setup("validate")
        data.setup("test")
    first, every = (list(once(data.val_dataloader())) for data in (few, many))
    assert len(first) == 1 and len(every) > 1
    assert first[0].keys == every[0].keys and first[0].row_numbers == every[0].row_numbers == (0, 1)
    assert [batch.keys for batch in once(few.test_dataloader())] == [batch.keys for batch in every]
    assert [batch.keys for batch in once(few.val_dataloader())] == [first[0].keys], (
        "the same at every validation"
    )


def test_no_validation_and_no_test(corpus: Path) -> None:
    data = module(corpus)
    data.setup("fit")
    assert data.val_dataloader() == [] == data.test_dataloader()


# ------------------------------------------------------------------ memory


def test_short_runs_encode_on_first_use_and_long_ones_ahead(corpus: Path) -> None:
    """20 documents are some 600 positions, four steps of two rows at most."""
    for steps, ahead in ((2, False), (50, True)):
        data = module(corpus, cache=True)
        data.trainer = lightning.Trainer(max_steps=steps, logger=False, accelerator="cpu", devices=1)
        data.setup("fit")
        store = data.folders[str(corpus / "train")].store
        assert store.kept == {}, "nothing is read at setup"
        loader = data.train_dataloader()
        assert store.kept is not None and len(store.kept) == (20 if ahead else 0)
        batch = next(iter(loader))
        assert len(store.kept) == (20 if ahead else len(keys_of([batch])))
