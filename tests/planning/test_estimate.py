"""Communication, time and budget: by hand, and against published runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omni.planning.communication import traffic_of
from omni.planning.estimate import Task, all_layouts, best, budget_of, lay_out
from omni.planning.family import FOLDER
from omni.planning.hardware import Efficiency, gpu_named
from omni.planning.meshes import Mesh
from omni.planning.parameters import count_parameters, default_vocabulary
from omni.planning.scaling import chinchilla_loss
from omni.planning.source import read_source
from omni.planning.workload import Workload
from tests.planning.text_batch import VOCABULARY, small_config

CONFIG = small_config()
H100 = gpu_named("h100-80gb")


def task_of(name: str, workload: Workload, checkpointing: str = "none") -> Task:
    config = read_source(FOLDER / f"{name}.yaml").config
    return Task(
        config=config,
        vocabulary=default_vocabulary(config),
        workload=workload,
        gpu=H100,
        checkpointing=checkpointing,  # type: ignore[arg-type]
    )


def small_task(**sizes: Any) -> Task:
    return Task(config=CONFIG, vocabulary=VOCABULARY, workload=Workload(**sizes), gpu=H100)


def test_qwen3_30b_on_eight_h100s() -> None:
    """NVIDIA NeMo AutoModel's performance summary: Qwen3 MoE 30B, 8 x H100, 4 rows of 4,096, 16 passes, ep=8:
    12,040 tokens/s a GPU. Its 30B on that many GPUs needs checkpointing, by this plan as by its memory."""
    task = task_of("30b-a3b", Workload(length=4096, rows=4, accumulate=16), "block")
    layout = lay_out(task, Mesh(ep=8))
    assert layout.fits
    assert not lay_out(replace(task, checkpointing="none"), Mesh(ep=8)).fits
    assert layout.step.tokens_per_second_per_gpu == pytest.approx(12_040, rel=0.25)


def test_an_omni_30b_at_160k_on_128_gpus() -> None:
    """VeOmni (arXiv 2508.02317): an omni-modal MoE of 30B, over 2,800 tokens/s a GPU, up to 160K, 128 GPUs."""
    task = task_of("30b-a3b", Workload(length=163_840), "block")
    layout = lay_out(task, Mesh(dp=2, ep=8, cp=8))
    assert layout.fits
    assert layout.step.tokens_per_second_per_gpu == pytest.approx(2_800, rel=0.25)


def test_bytes_of_a_step_by_hand() -> None:
    parameters = count_parameters(CONFIG, VOCABULARY)
    workload = Workload(length=1024, rows=2, accumulate=3)

    def sent(**sizes: int) -> dict[str, float]:
        return traffic_of(CONFIG, parameters, workload, Mesh(**sizes), H100, Efficiency()).bytes

    one = 2 * 1024 * 128 * 2  # bytes of the stream of one forward pass in 16 bits
    assert sent() == dict.fromkeys(("dp", "ep", "tp", "pp", "cp"), 0.0)
    assert sent(ep=4)["ep"] == 3 * 4 * 4 * 2 * one * 3 / 4  # passes, ways, layers, experts chosen, leaving
    assert sent(tp=2)["tp"] == 3 * 8 * 4 * one / 2
    assert sent(pp=2)["pp"] == 3 * 2 * one
    swapped = 2 + 2 / 2  # queries and outputs; keys and values, which are half as wide as the stream
    assert sent(cp=2)["cp"] == 3 * 2 * 4 * swapped * one / 2 / 2  # passes, ways, layers; positions, leaving
    assert sent(dp=4)["dp"] == 3 * 8 * parameters.total * 3 / 4


def test_across_servers_it_takes_longer() -> None:
    parameters = count_parameters(CONFIG, VOCABULARY)

    def seconds(mesh: Mesh) -> dict[str, float]:
        return traffic_of(CONFIG, parameters, Workload(), mesh, H100, Efficiency()).seconds

    inside, across = seconds(Mesh(ep=8)), seconds(Mesh(ep=8, tp=2))
    assert across["ep"] * 2 > inside["ep"] * 2  # half the positions each, over the network
    assert seconds(Mesh(dp=8, tp=8))["dp"] > seconds(Mesh(dp=64))["dp"] / 8


def test_parts_of_a_step_add_up_and_nothing_beats_the_peak() -> None:
    for layout in all_layouts(small_task(length=1024, accumulate=4), 16):
        assert sum(layout.step.parts.values()) == pytest.approx(layout.step.seconds)
        assert min(layout.step.parts.values()) >= 0
        assert 0 < layout.step.mfu < 1


def test_a_longer_pipeline_idles_and_more_passes_fill_it() -> None:
    def bubble(passes: int) -> float:
        step = lay_out(small_task(accumulate=passes), Mesh(pp=4)).step
        return step.parts["bubble"] / step.seconds

    assert bubble(1) > bubble(4) > bubble(32) > 0
    assert bubble(1) == pytest.approx(3 / 4, rel=0.05)  # three of four stages wait


def test_the_best_layout_fits_and_is_the_fastest_that_does() -> None:
    layouts = all_layouts(task_of("7b-a1b", Workload(), "block"), 8)
    assert best(layouts) == layouts[0]
    fitting = [layout for layout in layouts if layout.fits]
    fastest = max(layout.step.tokens_per_second_per_gpu for layout in fitting)
    assert layouts[0].step.tokens_per_second_per_gpu == fastest
    assert not any(layout.fits for layout in all_layouts(task_of("gpt3", Workload()), 8))


def test_a_budget_is_time_and_hours_of_all_gpus() -> None:
    task = small_task()
    layout = lay_out(task, Mesh(dp=4))
    budget = budget_of(task, layout, 1e9)
    seconds = 1e9 / (4 * layout.step.tokens_per_second_per_gpu)
    assert budget.days == pytest.approx(seconds / 86_400)
    assert budget.gpu_hours == pytest.approx(budget.days * 24 * 4)
    assert budget.flops == 1e9 * task.flops.training
    assert budget.loss.as_dense_total < budget.loss.as_dense_active
    with pytest.raises(ValueError, match="--tokens must be positive, got 0"):
        budget_of(task, layout, 0.0)


def test_the_law_gives_chinchilla_its_loss() -> None:
    """70B parameters and 1.4T tokens; arXiv 2404.10102 has the constants, the value is theirs put in."""
    assert chinchilla_loss(70e9, 1.4e12) == pytest.approx(1.97, abs=0.02)
    assert chinchilla_loss(1e30, 1e30) == pytest.approx(1.8172)


def test_an_unknown_gpu_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'h100-80gb'"):
        gpu_named("h100-80")
