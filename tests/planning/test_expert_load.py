"""Rows of the fullest rank where modalities have experts of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omni.nn.config import MoEConfig
from omni.nn.moe.groups import GroupSizes
from omni.planning.estimate import Task, lay_out
from omni.planning.expert_load import busiest
from omni.planning.hardware import GPUS
from omni.planning.meshes import Mesh
from omni.planning.workload import Mix, Workload
from tests.planning.text_batch import VOCABULARY, small_config

GROUPED = MoEConfig(
    experts=8, expert_width=96, routing="grouped", groups=GroupSizes(text=4, image=2, audio=2)
)
HYBRID = MoEConfig(
    experts=8, expert_width=96, routing="hybrid", groups=GroupSizes(shared=2, text=2, image=2, audio=2)
)
THIRDS = Mix(text=1 / 3, image=1 / 3, audio=1 / 3)


@pytest.mark.parametrize(
    ("moe", "mix", "ep", "expected"),
    [
        (MoEConfig(experts=8), THIRDS, 8, 1.0),
        (GROUPED, Mix(text=0.5, image=0.25, audio=0.25), 8, 1.0),  # sizes follow the mix
        (GROUPED, Mix(), 2, 2.0),  # text alone: all rows on the first of two ranks
        (GROUPED, Mix(), 8, 2.0),  # on four of eight
        (GROUPED, THIRDS, 4, 4 / 3),  # the rank with the experts of images: a third of the rows on a quarter
        (GROUPED, THIRDS, 1, 1.0),  # one rank has them all
        (HYBRID, THIRDS, 4, 2.0),  # shared experts: half of each modality's rows
    ],
)
def test_by_hand(moe: MoEConfig, mix: Mix, ep: int, expected: float) -> None:
    assert busiest(moe, mix, ep) == pytest.approx(expected)


def test_the_fullest_gpu_sets_time_and_memory() -> None:
    """Text alone on experts of modalities over two ranks: twice the rows, and the same without that split."""
    gpu, mesh = next(iter(GPUS.values())), Mesh(ep=2)
    even = replace(GROUPED, routing="agnostic", groups=GroupSizes())
    tasks = [
        Task(config=small_config(moe=moe), vocabulary=VOCABULARY, workload=Workload(), gpu=gpu)
        for moe in (GROUPED, even)
    ]
    grouped, plain = (lay_out(task, mesh) for task in tasks)
    for part in ("experts", "ep"):
        assert grouped.step.parts[part] == pytest.approx(2 * plain.step.parts[part])
    assert grouped.memory.activations > 1.3 * plain.memory.activations
    assert grouped.memory.weights == plain.memory.weights
    alone, reference = (lay_out(task, Mesh()) for task in tasks)
    assert alone.step.parts["experts"] == reference.step.parts["experts"]
    masks = 4096 * 4 * 8  # which experts are closed: a byte for each position, layer and expert
    assert alone.memory.activations - reference.memory.activations == pytest.approx(masks)
