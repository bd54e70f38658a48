"""The plan of a run: parameters, FLOPs, memory, communication, time and loss, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from omni.nn.config import ModelConfig, Vocabulary
from omni.planning.communication import Traffic, traffic_of
from omni.planning.expert_load import busiest
from omni.planning.flops import SCORES, Checkpointing, Flops, flops_of
from omni.planning.hardware import Efficiency, Gpu
from omni.planning.memory import Memory, Precision, Sharding, kept_by_block, memory_of
from omni.planning.meshes import Mesh, misfit, possible_meshes
from omni.planning.parameters import OUTSIDE, Parameters, count_parameters
from omni.planning.scaling import Forecast, forecast
from omni.planning.workload import Workload

USABLE = 0.92
"""Share of a GPU's memory that a plan may fill; CUDA, NCCL and fragmentation take the rest."""
OPTIMIZER_BYTES = 28
"""Bytes moved per parameter by AdamW in fp32: weight, moments and gradient read; weight and moments written."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is planned, apart from the layout."""

    config: ModelConfig
    vocabulary: Vocabulary
    workload: Workload
    gpu: Gpu
    checkpointing: Checkpointing = "none"
    precision: Precision = "bf16-mixed"
    sharding: Sharding = "full"
    efficiency: Efficiency = field(default_factory=Efficiency)

    @cached_property
    def parameters(self) -> Parameters:
        """Of the whole model."""
        return count_parameters(self.config, self.vocabulary)

    @cached_property
    def flops(self) -> Flops:
        """Of one position."""
        return flops_of(self.config, self.vocabulary, self.workload)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step."""

    seconds: float
    parts: dict[str, float]
    """Seconds by what they go to; they add up to ``seconds``."""
    positions: int
    """Positions of all GPUs."""
    tokens_per_second_per_gpu: float
    mfu: float
    """Model FLOPs over peak FLOPs (PaLM, arXiv 2204.02311)."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A mesh with what it costs."""

    mesh: Mesh
    memory: Memory
    traffic: Traffic
    step: Step
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A whole run over a number of tokens (positions)."""

    tokens: float
    steps: float
    days: float
    gpu_hours: float
    flops: float
    loss: Forecast


def lay_out(task: Task, mesh: Mesh) -> Layout:
    """Memory, communication and time of the task on ``mesh``.

    Raises:
        ValueError: the config can't be laid out so; the message names key, value and what would do.
    """
    if reason := misfit(mesh, task.config, task.workload):
        raise ValueError(reason)
    memory = memory_of(
        task.config,
        task.vocabulary,
        task.parameters,
        task.workload,
        mesh,
        task.checkpointing,
        task.precision,
        task.sharding,
    )
    traffic = traffic_of(
        task.config, task.parameters, task.workload, mesh, task.gpu, task.efficiency, task.sharding
    )
    step = _step(task, mesh, memory, traffic)
    return Layout(
        mesh=mesh, memory=memory, traffic=traffic, step=step, fits=memory.total <= USABLE * task.gpu.memory
    )


def _step(task: Task, mesh: Mesh, memory: Memory, traffic: Traffic) -> Step:
    """Compute, what of the communication isn't hidden behind it, the pipeline's bubble and the optimizer.

    Sharding of weights is hidden behind the compute of the whole step, the ring of context parallelism behind
    the attention; dispatch and combine of experts, and tensor parallelism, are not hidden.
    """
    workload = task.workload
    split = mesh.cp * mesh.tp * mesh.pp
    positions = workload.positions * workload.accumulate / split  # of one GPU, as if it had all layers
    load = busiest(task.config.moe, workload.mix, mesh.ep)
    parts = {name: positions * value for name, value in _compute(task, load).items()}
    compute = sum(parts.values())
    parts["tp"], parts["ep"], parts["pp"] = (traffic.seconds[name] for name in ("tp", "ep", "pp"))
    parts["ep"] *= load
    parts["cp"] = max(0.0, traffic.seconds["cp"] - parts[SCORES])
    parts["dp"] = max(0.0, traffic.seconds["dp"] - compute)
    parts["bubble"] = sum(parts.values()) * (mesh.pp - 1) / workload.accumulate
    own = memory.optimizer / 8  # parameters whose two moments are here
    parts["optimizer"] = own * OPTIMIZER_BYTES / (task.gpu.memory_bandwidth * task.efficiency.memory)
    seconds = sum(parts.values())
    total = workload.positions * workload.accumulate * mesh.dp * mesh.ep
    rate = total / seconds / mesh.gpus
    return Step(
        seconds=seconds,
        parts=parts,
        positions=total,
        tokens_per_second_per_gpu=rate,
        mfu=rate * task.flops.training / task.gpu.peak,
    )


def _compute(task: Task, load: float) -> dict[str, float]:
    """Seconds of one GPU for one position: products by kind, and what moves through memory.

    ``load`` is that of the fullest GPU's experts over the mean.
    """
    flops, gpu, efficiency, config = task.flops, task.gpu, task.efficiency, task.config
    peak = gpu.peak if task.precision == "bf16-mixed" else gpu.peak / 2
    again = 4 / 3 if task.checkpointing == "block" else 1.0
    kinds = {"matmul": efficiency.matmul, "experts": efficiency.grouped, SCORES: efficiency.attention}
    work = dict.fromkeys(kinds, 0.0)
    for part, value in flops.parts.items():
        work[part if part in kinds else "matmul"] += 3 * value * (1.0 if part in OUTSIDE else again)
    work["matmul"] -= 2 * flops.encoding.frozen
    work["experts"] *= load
    work[SCORES] += 0.5 * flops.parts[SCORES]
    dense = config.moe.dense_layers
    kept = (config.layers - dense) * kept_by_block(config, False, task.precision, load=load)
    kept += dense * kept_by_block(config, True, task.precision)
    moved = kept * efficiency.memory_passes * again
    seconds = {name: work[name] / (peak * share) for name, share in kinds.items()}
    return seconds | {"pointwise": moved / (gpu.memory_bandwidth * efficiency.memory)}


def all_layouts(task: Task, gpus: int) -> list[Layout]:
    """Every possible mesh: those that fit first, then the faster, then the smaller in memory."""
    layouts = (lay_out(task, mesh) for mesh in possible_meshes(gpus, task.config, task.workload))
    return sorted(layouts, key=_merit)


def _merit(layout: Layout) -> tuple[bool, float]:
    return not layout.fits, -layout.step.tokens_per_second_per_gpu if layout.fits else layout.memory.total


def best(layouts: Iterable[Layout]) -> Layout:
    """The fastest that fits, or the one that needs least memory if none does."""
    return min(layouts, key=_merit)


def budget_of(task: Task, layout: Layout, tokens: float) -> Budget:
    """Time, compute and expected loss of a run over ``tokens``."""
    if tokens <= 0:
        raise ValueError(f"--tokens must be positive, got {tokens:g}")
    seconds = tokens / (layout.step.tokens_per_second_per_gpu * layout.mesh.gpus)
    return Budget(
        tokens=tokens,
        steps=tokens / layout.step.positions,
        days=seconds / 86_400,
        gpu_hours=seconds * layout.mesh.gpus / 3_600,
        flops=tokens * task.flops.training,
        loss=forecast(task.parameters.active, task.parameters.total, tokens),
    )
