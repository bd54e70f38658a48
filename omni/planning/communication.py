"""Bytes that one GPU sends in a step, by dimension of the mesh, and the seconds that takes.

Volumes are those of the usual algorithms: ring collectives send (g - 1) / g of the whole for a group of g; an
all-to-all leaves 1 / g at home. Weights travel in 16 bits and gradients in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from omni.nn.config import ModelConfig
from omni.planning.hardware import NODE, Efficiency, Gpu
from omni.planning.memory import Sharding
from omni.planning.meshes import DIMENSIONS, Mesh
from omni.planning.parameters import EXPERTS, Parameters
from omni.planning.workload import Workload

HALF, FP32 = 2, 4


@dataclass(frozen=True)
class Traffic:
    """What one GPU sends in a step."""

    bytes: dict[str, float]
    """By dimension of the mesh; ``dp`` holds all sharding of weights, over cp and ep as well."""
    seconds: dict[str, float]
    """By dimension, at the bandwidths of the GPU, before any overlap."""


def traffic_of(
    config: ModelConfig,
    parameters: Parameters,
    workload: Workload,
    mesh: Mesh,
    gpu: Gpu,
    efficiency: Efficiency,
    sharding: Sharding = "full",
) -> Traffic:
    """Bytes and seconds of a whole step, all forward passes together."""
    width, moe = config.width, config.moe
    layers = config.layers / mesh.pp
    sparse = max(0.0, (config.layers - moe.dense_layers) / mesh.pp)
    rows = workload.positions / mesh.cp * HALF  # bytes of one channel of all positions
    swapped = (
        2 * width + 2 * max(config.kv_heads, mesh.cp) * config.head_channels
    )  # queries, outputs, keys, values
    passes = workload.accumulate
    sent = {
        "ep": 4 * sparse * rows / mesh.tp * moe.top_k * width * _away(mesh.ep) * passes,
        "tp": 8 * layers * rows * width * _away(mesh.tp) * passes,  # gather and scatter around both halves
        "pp": (2 * rows / mesh.tp * width if mesh.pp > 1 else 0.0) * passes,
        "cp": 2 * layers * rows * swapped / mesh.tp * _away(mesh.cp) * passes,  # forward; gradients back
    }
    seconds = {
        "ep": _all_to_all(sent["ep"], mesh.ep, mesh.stride("ep"), gpu),
        "cp": _all_to_all(sent["cp"], mesh.cp, mesh.stride("cp"), gpu),
        "tp": sent["tp"] / _ring(mesh.tp, mesh.stride("tp"), gpu),
        "pp": sent["pp"] / (gpu.link if mesh.stride("pp") * mesh.pp <= NODE else gpu.network),
    }
    sent["dp"], seconds["dp"] = _sharding(parameters, mesh, gpu, passes, sharding)
    return Traffic(
        {name: sent[name] for name in DIMENSIONS},
        {name: seconds[name] / efficiency.link for name in DIMENSIONS},
    )


def _sharding(
    parameters: Parameters, mesh: Mesh, gpu: Gpu, passes: int, sharding: Sharding
) -> tuple[float, float]:
    """Weights gathered before each forward and backward pass and gradients scattered after it; or once a step."""
    sent_per_weight = passes * (2 * HALF + FP32) if sharding == "full" else HALF + FP32
    share = mesh.tp * mesh.pp
    groups = (
        (parameters.shared / share, mesh.dp * mesh.cp * mesh.ep, mesh.tp),
        (parameters.parts[EXPERTS] / (share * mesh.ep), mesh.dp * mesh.cp, mesh.stride("cp")),
    )
    volume = [sent_per_weight * count * _away(size) for count, size, _ in groups]
    seconds = [
        sent / _ring(size, stride, gpu) for sent, (_, size, stride) in zip(volume, groups, strict=True)
    ]
    return sum(volume), sum(seconds)


def _away(size: int) -> float:
    """Share that leaves the GPU in a group of ``size``."""
    return (size - 1) / size


def _ring(size: int, stride: int, gpu: Gpu) -> float:
    """Bytes/s of a ring through ``size`` GPUs, ``stride`` apart: across servers all its cards in one work at once."""
    inside = max(1, min(size, NODE // stride if stride <= NODE else 1))
    return gpu.link if size <= inside else min(gpu.link, inside * gpu.network)


def _all_to_all(sent: float, size: int, stride: int, gpu: Gpu) -> float:
    """Seconds: inside the server and across servers go on at the same time."""
    inside = max(1, min(size, NODE // stride if stride <= NODE else 1))
    if size == 1:
        return 0.0
    across = (size - inside) / (size - 1)
    return max(sent * (1 - across) / gpu.link, sent * across / gpu.network)
