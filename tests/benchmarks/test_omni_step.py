"""The benchmarks of the step, of attention and of cross entropy, on little: their batches and their figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.omni_step import competitors
from benchmarks.omni_step_documents import all_learned, as_text, made_sequence, read_outlines
from benchmarks.omni_step_made import VOCABULARY
from omni.spans import count_spans

ROOT = Path(__file__).parents[2]


def figures_of(module: str, *arguments: str, folder: Path) -> dict[str, Any]:
    file = folder / "figures.json"
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--clocks", "cpu", "--rounds", "5"]
    subprocess.run([*command, "--json", str(file)], cwd=ROOT, check=True, timeout=280, capture_output=True)
    return json.loads(file.read_text())


def test_a_made_document_has_the_positions_and_targets_of_its_outline() -> None:
    import numpy as np

    for outline in read_outlines()[:60]:
        sequence = made_sequence(outline, VOCABULARY, "key", np.random.default_rng(0))
        spans = np.array([length << 3 | learned << 2 | modality for modality, length, learned in outline])
        positions, targets = count_spans(spans.astype(np.uint32))
        assert [(sequence.modality == m).sum() for m in range(3)] == positions.tolist()
        assert sequence.target_counts().tolist() == targets.tolist()
        assert len(made_sequence(as_text(outline), VOCABULARY, "key", np.random.default_rng(0))) == len(
            sequence
        )
        learned = made_sequence(
            all_learned(outline), VOCABULARY, "key", np.random.default_rng(0)
        ).target_counts()
        pictures = sum(modality == 1 for modality, _, _ in outline)
        assert learned.sum() == len(sequence) - 1 - pictures  # not the first position, nor <|/image|>


def test_competitors_hold_the_same_documents() -> None:
    rows = competitors(4, 512)
    omni = rows["omni"].batch()
    assert omni.real.float().mean() > 0.97
    assert all(omni.targets > 0)
    assert rows["text"].batch().lengths == omni.lengths
    assert rows["text"].batch().targets[1:].tolist() == [0, 0]
    assert rows["dense"].batch().lengths == omni.lengths
    padded = rows["padded"].batch()
    assert padded.real.sum() == omni.real.sum()
    assert padded.targets.tolist() == omni.targets.tolist()


@pytest.mark.timeout(300)
def test_figures_of_a_step(tmp_path: Path) -> None:
    arguments = ["--model", "configs/model/demo.yaml", "--rows", "2", "--length", "256"]
    figures = figures_of("omni_step", *arguments, folder=tmp_path)
    for precision in ("fp32", "bf16"):
        found = figures[precision]["cpu"]
        assert sum(found["parts"].values()) == pytest.approx(1, abs=1e-3)
        assert found["parts"]["attention"] > 0.02 < found["parts"]["experts"]
        assert found["ratios"]["omni_over_padded"] > 1.5
        assert found["ratios"].keys() == found["spread"].keys()


@pytest.mark.timeout(300)
def test_figures_of_attention(tmp_path: Path) -> None:
    figures = figures_of("attention", "--positions", "1024", "--document", "128", folder=tmp_path)
    assert figures["equal"]["documents"] == 8
    assert figures["equal"]["fp32 both passes"]["cpu_times_faster"] > 2


@pytest.mark.timeout(300)
def test_figures_of_cross_entropy(tmp_path: Path) -> None:
    sizes = ["--positions", "1024", "--width", "32", "--vocabulary", "8192", "--chunks", "64"]
    figures = figures_of("cross_entropy", *sizes, folder=tmp_path)
    for precision in ("fp32", "bf16"):
        assert figures[precision]["plain"]["memory_of_plain"] == 1
        assert figures[precision]["ours 64 z"]["memory_of_plain"] < 0.2
        assert figures[precision]["ours 64 z"]["cpu_of_plain"] < 1.5
