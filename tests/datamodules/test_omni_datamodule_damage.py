"""Shards that are damaged while a run goes on: holes in their places, a list, and an end where it is too much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.plan_config import PlanConfig
from omni.losses import compute_losses
from omni.sequence import OmniBatch
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import tiny_model
from tests.tiny_run import fit, weights, write_corpus, write_measured

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
PLAN = PlanConfig(row_length=100, global_rows=2, window=16)
STEPS = 7
"""14 rows go more than once through 24 documents."""


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """24 documents in four shards."""
    tiny_tokenizers().save(tmp_path / "tokenizers")
    write_measured(tiny_documents(24), tmp_path / "train", tmp_path / "tokenizers", per_shard=6)
    return tmp_path / "train"


def ready(shards: Path, max_damaged: float = 1.0, workers: int = 0, **settings: Any) -> OmniDataModule:
    tokenizers = str(shards.parent / "tokenizers")
    data = OmniDataModule(
        tokenizers, str(shards), None, PLAN, 2, max_damaged=max_damaged, workers=workers, **settings
    )
    data.setup("fit")
    return data


def run(data: OmniDataModule) -> list[OmniBatch]:
    return [batch for batch, _ in zip(data.train_dataloader(), range(STEPS), strict=False)]


def flip(shards: Path, number: int, suffix: str = "json") -> None:
    """Change one bit of a member of a document."""
    index, row = ShardReader(shards).find(number)
    offset, size = index.entry(row).members[suffix]
    with index.shard.open("r+b") as file:
        file.seek(offset + size // 2)
        byte = file.read(1)[0]
        file.seek(offset + size // 2)
        file.write(bytes([byte ^ 1]))


def listed(shards: Path) -> list[dict[str, Any]]:
    path = shards / "quarantine.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def assert_holes(found: list[OmniBatch], sound: list[OmniBatch], bad: set[str]) -> None:
    """Documents of these keys are padding of their length; all else is as it was, and where it was."""
    holes = 0
    for got, planned in zip(found, sound, strict=True):
        assert got.row_numbers == planned.row_numbers and got.lengths == planned.lengths
        assert got.step_positions == planned.step_positions
        assert got.targets.equal(planned.targets), "losses are divided by what was planned"
        assert got.keys == tuple("" if key in bad else key for key in planned.keys)
        hole = torch.repeat_interleave(
            torch.tensor([key in bad for key in planned.keys]), torch.tensor(got.lengths)
        )
        hole = hole.view_as(got.modality)
        assert (got.modality[hole] == 255).all() and not got.loss[hole].any()
        for name in ("modality", "text_ids", "coords", "loss"):
            assert getattr(got, name)[~hole].equal(getattr(planned, name)[~hole]), name
        assert len(got.patches) == int((got.modality == 1).sum())
        assert len(got.codes) == int((got.modality == 2).sum())
        holes += int(hole.any())
    assert holes > 1


@pytest.mark.parametrize(("workers", "kind"), [(0, "thread"), (2, "thread"), (2, "process")])
def test_a_flipped_bit_is_a_hole_and_a_line(shards: Path, workers: int, kind: str) -> None:
    sound = run(ready(shards))
    data = ready(shards, workers=workers, worker_kind=kind)
    media = ShardReader(shards).find(8)[0].entry(2).members
    (picture,) = (suffix for suffix in media if suffix.endswith("png"))
    flip(shards, 3)
    flip(shards, 8, picture)
    assert_holes(run(data), sound, {"000003", "000008"})
    lines = {line["key"]: line for line in listed(shards)}
    assert list(lines) == [key for key in dict.fromkeys(k for b in sound for k in b.keys) if key in lines]
    assert sorted(lines) == ["000003", "000008"] and len(listed(shards)) == 2, (
        "each once, over several epochs"
    )
    line = lines["000008"]
    shard = str(shards / "shard-000001.tar")
    assert {name: line[name] for name in ("shard", "part", "offset")} == {
        "shard": shard,
        "part": picture,
        "offset": media[picture][0],
    }
    assert line["error"].startswith(f"{shard}[000008].{picture}: damaged, the ")
    assert data.train_dataloader().counts()["shards"]["damaged"] == 2


def test_workers_make_no_difference_to_the_list(shards: Path) -> None:
    for number in (1, 9, 10, 17, 23):
        flip(shards, number)
    lists = []
    for workers in (0, 2):
        (shards / "quarantine.jsonl").unlink(missing_ok=True)
        run(ready(shards, workers=workers))
        lists.append((shards / "quarantine.jsonl").read_text())
    assert lists[0] == lists[1] and len(lists[0].splitlines()) == 5


def test_the_first_of_each_shard_is_a_warning(shards: Path) -> None:
    for number in (1, 2, 9):
        flip(shards, number)
    data = ready(shards)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(data)
    said = [str(one.message) for one in warned if "set aside" in str(one.message)]
    assert sorted(text.partition("[")[0] for text in said) == [
        f"damaged document set aside: {shards}/shard-{number:06d}.tar" for number in (0, 1)
    ]


@pytest.mark.parametrize("kept", [True, False], ids=["open", "not yet open"])
def test_a_shard_that_is_cut_off_while_it_is_read(shards: Path, kept: bool) -> None:
    sound = run(ready(shards))
    data = ready(shards)
    if kept:
        for number in range(24):
            data.folders[str(shards)].store[number]
    index = ShardReader(shards).indexes[2]
    os.truncate(index.shard, index.parts(3)[0].offset + 1)
    assert_holes(run(data), sound, {"000015", "000016", "000017"})
    errors = {line["key"]: line["error"] for line in listed(shards)}
    assert ": truncated, 1 of " in errors["000015"] and sorted(errors) == ["000015", "000016", "000017"]


def test_a_shard_that_disappears(shards: Path) -> None:
    """With its index; what is still open goes on being read."""
    sound = run(ready(shards))
    data = ready(shards, workers=2)
    for path in shards.glob("shard-000002.tar*"):
        path.unlink()
    assert_holes(run(data), sound, {f"{number:06d}" for number in range(12, 18)})
    assert {line["shard"] for line in listed(shards)} == {str(shards / "shard-000002.tar")}


def test_too_much_damage_stops_the_run_and_names_the_first(shards: Path) -> None:
    data = ready(shards, max_damaged=0.05)
    flip(shards, 3)
    run(data)
    flip(shards, 4)
    with pytest.raises(ValueError) as caught:
        run(data)
    assert str(caught.value).startswith(
        f"{shards}: 2 of 24 documents are damaged, more than the allowed share of 0.05 (data.max_damaged); "
        f"first: {shards}/shard-000000.tar[000003].json: damaged"
    )
    assert str(caught.value).endswith(f"all are listed in {shards}/quarantine.jsonl")


def test_many_in_a_row_stop_the_run(shards: Path) -> None:
    data = ready(shards)
    data.folders[str(shards)].store.quarantine.in_a_row = 20
    for number in range(24):
        flip(shards, number)
    with pytest.raises(ValueError, match="20 documents in a row are damaged; first: "):
        run(data)


def test_kept_sequences_have_holes_too(shards: Path) -> None:
    sound = run(ready(shards))
    data = ready(shards, cache=True)
    flip(shards, 5)
    data.folders[str(shards)].store.fill(0)
    flip(shards, 7)  # was kept
    assert_holes(run(data), sound, {"000005"})


# ------------------------------------------------------------------ training


def damaged_corpus(folder: Path) -> Path:
    corpus = write_corpus(folder)
    for number in (0, 5, 6, 7, 15, 16, 31, 33, 55):
        flip(corpus / "train", number)
    return corpus


def test_training_goes_on_around_holes(tmp_path: Path) -> None:
    """The weights are finite, others than without damage, and the same however the rows are split."""
    settings: dict[str, Any] = {"dtype": torch.float64, "max_damaged": 0.5}
    sound = weights(fit(write_corpus(tmp_path / "sound"), tmp_path, dtype=torch.float64))
    corpus = damaged_corpus(tmp_path / "damaged")
    found = [weights(fit(corpus, tmp_path, batch_rows=rows, **settings)) for rows in (4, 1)]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-9)
    for name, value in found[0].items():
        assert value.isfinite().all(), name
    assert not found[0]["model.embed.text.weight"].equal(sound["model.embed.text.weight"])


@pytest.mark.parametrize("most", [0.5, 0.02], ids=["all goes well", "one rank stops"])
def test_uneven_damage_does_not_hang_ranks(tmp_path: Path, most: float) -> None:
    """Gloo, two ranks: they end with the weights of one rank, or both end where one has had too much."""
    corpus = damaged_corpus(tmp_path / "damaged")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.datamodules.damaged_rank", str(corpus), str(most)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        timeout=240,
    )
    if most < 0.1:
        assert done.returncode != 0 and "documents are damaged, more than the allowed share" in done.stderr
        return
    assert done.returncode == 0, done.stderr[-4000:]
    (corpus / "train" / "quarantine.jsonl").rename(tmp_path / "of-ranks.jsonl")
    alone = weights(fit(corpus, tmp_path / "one", dtype=torch.float64, max_damaged=most))
    for rank in (0, 1):
        got = torch.load(corpus / f"rank-{rank}.pt", weights_only=True)
        torch.testing.assert_close(got, alone, rtol=0, atol=1e-9)
    lists = [
        sorted(path.read_text().splitlines())
        for path in (tmp_path / "of-ranks.jsonl", corpus / "train" / "quarantine.jsonl")
    ]
    assert lists[0] == lists[1] and len(lists[0]) == 9


def test_the_others_are_trained_on_as_they_were(shards: Path) -> None:
    """The losses of a batch with a hole are those of the whole batch without that document's targets."""
    sound = run(ready(shards))
    data = ready(shards)
    flip(shards, 3)
    model = tiny_model()
    compared = 0
    for got, planned in zip(run(data), sound, strict=True):
        if "000003" not in planned.keys:
            continue
        lengths = torch.tensor(planned.lengths)
        kept = torch.repeat_interleave(torch.tensor([key != "000003" for key in planned.keys]), lengths)
        masked = replace(planned, loss=planned.loss & kept.view_as(planned.loss))
        losses = [compute_losses(model, model(batch), batch) for batch in (got, masked)]
        torch.testing.assert_close(losses[0].sums_M, losses[1].sums_M)
        assert losses[0].counts_M.equal(losses[1].counts_M)
        compared += 1
    assert compared > 0
