"""GPUs: what the makers state, and how much of it training code gets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU in a server of eight. Bandwidths are of one direction."""

    name: str
    memory: float
    """Bytes that a program can have, as CUDA reports them: less than the chips hold."""
    peak: float
    """Dense bf16 FLOP/s."""
    memory_bandwidth: float
    """Bytes/s."""
    link: float
    """Bytes/s to GPUs of the same server (NVLink, half of the stated sum of both directions)."""
    network: float
    """Bytes/s to GPUs of other servers: one network card each, as in the maker's own servers."""
    source: str
    """Where the figures stand."""


GIB, GB, TB, TFLOPS = 2.0**30, 1e9, 1e12, 1e12
NODE = 8
"""GPUs of a server."""

_GPUS = (
    Gpu(
        name="a100-80gb",
        memory=79 * GIB,
        peak=312 * TFLOPS,
        memory_bandwidth=2.039 * TB,
        link=300 * GB,
        network=25 * GB,
        source="NVIDIA A100 data sheet (SXM4 80 GB); DGX A100: HDR InfiniBand, 200 Gbit/s a GPU",
    ),
    Gpu(
        name="h100-80gb",
        memory=79 * GIB,
        peak=989.4 * TFLOPS,
        memory_bandwidth=3.35 * TB,
        link=450 * GB,
        network=50 * GB,
        source="NVIDIA H100 data sheet (SXM5, without sparsity); DGX H100: NDR InfiniBand, 400 Gbit/s a GPU",
    ),
    Gpu(
        name="h200",
        memory=139 * GIB,
        peak=989.4 * TFLOPS,
        memory_bandwidth=4.8 * TB,
        link=450 * GB,
        network=50 * GB,
        source="NVIDIA H200 data sheet (SXM, without sparsity); DGX H200: NDR InfiniBand, 400 Gbit/s a GPU",
    ),
    Gpu(
        name="b200",
        memory=178 * GIB,
        peak=2250 * TFLOPS,
        memory_bandwidth=8.0 * TB,
        link=900 * GB,
        network=50 * GB,
        source="NVIDIA DGX B200 data sheet (an eighth of 64 TB/s and of 18 dense bf16 PFLOP/s); "
        "ConnectX-7, 400 Gbit/s a GPU",
    ),
)
GPUS = {gpu.name: gpu for gpu in _GPUS}


def gpu_named(name: str) -> Gpu:
    """The row of the table called ``name``.

    Raises:
        ValueError: no such GPU; the message lists the names and the nearest one.
    """
    if name in GPUS:
        return GPUS[name]
    near = difflib.get_close_matches(name, GPUS, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"--gpu {name!r} is not in the table, expected one of {', '.join(GPUS)}{hint}")


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Shares of the stated figures that kernels reach. Rules of thumb, not measurements of this code."""

    matmul: float = 0.65
    """Large bf16 products on one GPU."""
    grouped: float = 0.55
    """Grouped products of many experts."""
    attention: float = 0.5
    """Flash attention forward and backward together (arXiv 2307.08691, 2407.08608)."""
    memory: float = 0.8
    """Of the memory's bandwidth, in pointwise kernels."""
    link: float = 0.8
    """Of a link's bandwidth, in large collectives."""
    memory_passes: float = 5.0
    """How often a kept activation moves: written and read in the forward pass, read in the backward pass, and
    its gradient written and read."""
