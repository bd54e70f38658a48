"""Runs that must end in the same weights: interrupted or not, accumulated or not, on one rank or on two."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from omni.datamodules.stream.loader import PlannedLoader, Split
from omni.modality import MODALITIES
from omni.optim.config import OptimConfig
from omni.sequence import Document, Text
from tests.tiny import SENTENCES, tiny_documents, tiny_tokenizers
from tests.tiny_model import gradients
from tests.tiny_run import GLOBAL_ROWS, OPTIM, ROW_LENGTH, STEPS, AfterStep, build, fit, weights, write_corpus
from tests.training.rank import NETWORKS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty documents of all kinds: six rows, so eight steps of four rows go through five epochs."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def stop(trainer: lightning.Trainer) -> None:
    trainer.should_stop = True


def state(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=True)


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Nested values are equal, tensors to the last bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}[{number}]")
    elif isinstance(one, Tensor):
        assert one.equal(other), where
    else:
        assert one == other, where


MUON = replace(OPTIM, optimizer="muon", schedule="wsd", decay_share=0.5)


@pytest.mark.parametrize(
    ("batch_rows", "optim"),
    [(GLOBAL_ROWS, OPTIM), (GLOBAL_ROWS // 2, OPTIM), (GLOBAL_ROWS, MUON)],
    ids=["one batch", "two batches a step", "Muon"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    corpus: Path, tmp_path: Path, batch_rows: int, optim: OptimConfig
) -> None:
    """Weights, routers' biases, moments of the optimizer, schedule and place in the data: bit for bit."""
    run = partial(fit, optim=optim)
    whole = run(corpus, tmp_path / "whole", batch_rows=batch_rows)
    first = run(corpus, tmp_path / "parts", batch_rows=batch_rows, callbacks=[AfterStep(4, stop)])
    assert not weights(first)["model.embed.text.weight"].equal(weights(whole)["model.embed.text.weight"])
    interrupted = tmp_path / "parts" / "last.ckpt"
    assert state(interrupted)["global_step"] == 4 < STEPS
    resumed = run(corpus, tmp_path / "rest", batch_rows=batch_rows, resume=interrupted)
    assert_equal(weights(resumed), weights(whole))
    ends = [state(tmp_path / run / "last.ckpt") for run in ("whole", "rest")]
    for key in ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "omni"):
        assert_equal(ends[0][key], ends[1][key], key)
    assert any(name.endswith("router.bias") for name in weights(whole))


def test_another_seed_is_another_run(corpus: Path) -> None:
    """So that equality above says something."""
    one, other = (weights(build(corpus, GLOBAL_ROWS, seed)[0]) for seed in (0, 1))
    assert not one["model.embed.text.weight"].equal(other["model.embed.text.weight"])


class FirstGradients(lightning.Callback):
    """Keeps the gradients of the first step, as they are before clipping."""

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Any
    ) -> None:
        if trainer.global_step == 0:
            self.gradients = gradients(pl_module)


@pytest.mark.parametrize("batch_rows", [1, 2])
def test_accumulated_batches_equal_one_batch(corpus: Path, tmp_path: Path, batch_rows: int) -> None:
    """Gradients of the first step and weights after the last, with all the noise of training."""
    seen, runs = {}, {}
    for rows in (GLOBAL_ROWS, batch_rows):
        seen[rows] = FirstGradients()
        module = fit(corpus, tmp_path, batch_rows=rows, dtype=torch.float64, callbacks=[seen[rows]])
        runs[rows] = weights(module)
    expected = seen[GLOBAL_ROWS].gradients
    assert all(gradient.any() for gradient in expected.values())
    torch.testing.assert_close(seen[batch_rows].gradients, expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(runs[batch_rows], runs[GLOBAL_ROWS], rtol=0, atol=1e-9)


def test_mixed_precision_trains_with_clipping(corpus: Path, tmp_path: Path) -> None:
    half = weights(fit(corpus, tmp_path, precision="bf16-mixed"))
    full = weights(fit(corpus, tmp_path))
    name = "model.blocks.0.moe.experts.w13"
    assert half[name].dtype is torch.float32
    assert 0 < (half[name] - full[name]).abs().mean() < 0.01


# ------------------------------------------------------------------ ranks


def lopsided() -> tuple[Document, ...]:
    """Long texts that fill a row each, and other rows full of pictures and clips."""
    text = SENTENCES[0]
    while len(tiny_tokenizers().text.encode(text)) < ROW_LENGTH - 20:
        text += " one"
    texts = [Document((Text(text),), key=f"text{number}") for number in range(12)]
    return (*texts, *(document for document in tiny_documents(60) if document.source != "prose"))


def modalities_of_steps(corpus: Path, rank: int) -> list[list[bool]]:
    """Whether a rank of two, with two batches of one row a step, is trained on text, image and audio."""
    data = build(corpus, batch_rows=1)[1]
    data.setup("fit")
    loader = data.train_dataloader()
    batches = list(PlannedLoader(loader.plan, loader.batches, Split(batch_rows=1, rank=rank, world=2), STEPS))
    return [
        [any(bool((b.loss & b.of(m)).any()) for b in batches[2 * step : 2 * step + 2]) for m in MODALITIES]
        for step in range(STEPS)
    ]


def test_two_ranks_equal_one(corpus: Path, tmp_path: Path) -> None:
    """Gloo on CPU, two accumulated batches of one row on each rank; also where a rank sees text alone, and modalities
    have experts of their own."""
    uneven = write_corpus(tmp_path / "lopsided", lopsided())
    pairs = list(zip(modalities_of_steps(uneven, rank=0), modalities_of_steps(uneven, rank=1), strict=True))
    assert any([True, False, False] in pair and [True, True, True] in pair for pair in pairs), pairs
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.training.rank", str(corpus), str(uneven)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for folder, network in zip((corpus, uneven), NETWORKS, strict=True):
        expected = weights(fit(folder, tmp_path / "one", dtype=torch.float64, network=network))
        for rank in (0, 1):
            got = torch.load(folder / f"rank-{rank}.pt", weights_only=True)
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)
