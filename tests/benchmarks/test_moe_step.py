"""The benchmark of the experts, on few positions: the fixed form of its figures, and peers that aren't there."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.moe_step_clock import paired_ratio
from benchmarks.moe_step_peers import DENSE, OURS, PEERS, Ours
from benchmarks.moe_step_stacks import Size, check_outputs, layers_of, skew_turns, step_turns

ROOT = Path(__file__).parents[2]
TINY = Size(width=64, layers=1, experts=4, top_k=2, expert_width=32, rows=1, length=16)
GROUPED, EAGER = "transformers grouped_mm", "transformers eager"


@pytest.mark.timeout(300)
def test_figures_of_a_small_run(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--columns", "small", "--precisions", "fp32", "--rounds", "5", "--json", str(file)]
    peers = ["--peers", GROUPED, "litgpt", "torchtitan"]
    command = [sys.executable, "-m", "benchmarks.moe_step", *arguments, *peers]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280, capture_output=True)
    figures = json.loads(file.read_text())
    shares = figures["small"]["fp32"]
    assert shares[DENSE] == 1 and shares[OURS] > 0
    assert not shares.keys() & figures["missing"].keys()
    assert shares.keys() | figures["missing"].keys() >= {DENSE, OURS, GROUPED, "litgpt"}
    assert "torchtitan" in figures["left_out"]["small"]["fp32"], "it has no fp32"
    assert importlib.util.find_spec("litgpt") or "omni[bench]" in figures["missing"]["litgpt"]
    assert figures["wall"]["small"]["fp32"].keys() == shares.keys()
    for clock in ("cpu", "wall"):
        median, low, high = figures["ahead"][clock]["small"]["fp32"][GROUPED]
        assert 0 < low <= high and median > 0


def test_all_compute_the_same_and_another_function_is_found_out() -> None:
    layers, _, _ = layers_of(TINY, True, [GROUPED, EAGER])
    assert list(layers) == [DENSE, OURS, GROUPED, EAGER]
    check_outputs(layers, TINY)
    ours = layers[OURS]
    assert isinstance(ours, Ours)
    with torch.no_grad():
        ours.moe.experts.w2.mul_(1.1)
    with pytest.raises(ValueError, match=rf"{GROUPED}: its output differs from ours by 9\.\d%"):
        check_outputs(layers, TINY)


def test_steps_of_all_kinds_run() -> None:
    turns = step_turns([OURS, GROUPED, DENSE], TINY, False)
    for _ in range(2):
        for turn in turns.values():
            turn(0)


def test_peers_without_a_place_in_a_column_are_left_out() -> None:
    names = {peer.name: peer for peer in PEERS}
    assert names["torchtitan"].why_not(half=False, rows=1) == "always computes in bf16"
    assert names["torchtitan"].why_not(half=True, rows=1) is None
    assert "4096 rows" in (names["transformers batched_mm"].why_not(half=True, rows=4096) or "")


def test_the_skewed_load_is_as_skewed_as_said() -> None:
    _, load = skew_turns(False)
    assert 4.6 <= load < 5


def test_ratios_are_paired() -> None:
    over, under = [2.0, 4.0, 8.0, 2.2, 1.0], [1.0, 2.0, 4.0, 1.1, 0.5]
    ratio = paired_ratio(over, under)
    assert ratio == pytest.approx((2, 2, 2)), "whatever the rounds have in common"
    assert paired_ratio([2.0, 4.0, 8.0, 2.2, 1.1], under).high > 2.0
