"""Bytes on one GPU, by part.

The activations are the tensors that autograd keeps, listed line by line from the model's own code (bytes of one
position). They were read off with ``torch.autograd.graph.saved_tensors_hooks`` and are checked in the tests
against the allocator's peak of whole steps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from omni.nn.config import ModelConfig, Vocabulary
from omni.planning.expert_load import busiest
from omni.planning.flops import Checkpointing
from omni.planning.meshes import Mesh
from omni.planning.parameters import EXPERTS, Parameters
from omni.planning.workload import Workload

FP32, INT64 = 4, 8
GATHERED_LAYERS = 2
"""Layers whose sharded weights are whole at once: the one that runs and the one fetched ahead (FSDP2)."""

Precision = Literal["bf16-mixed", "32-true"]
Sharding = Literal["full", "optimizer"]
"""What data-parallel ranks share out: weights, gradients and moments (FSDP, ZeRO-3), or the fp32 weights and moments
only, with whole 16-bit weights and fp32 gradients on each (ZeRO-1, arXiv 1910.02054)."""
Kernels = Literal["cuda", "cpu"]
"""CUDA has a fused norm, which keeps its input only, and an attention that repeats keys and values."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on the fullest GPU at the peak of a step."""

    weights: float
    gradients: float
    optimizer: float
    """Both moments of AdamW."""
    activations: float
    """What the forward pass keeps for the backward pass."""
    logits: float
    """The gradient of the text head's matrix, and what its chunk of logits takes beyond the buffers of a block,
    which are not there yet."""
    buffers: float
    """16-bit or gathered copies of weights, and the gradients inside the block that runs backward."""

    @property
    def total(self) -> float:
        """All parts."""
        return sum(asdict(self).values())


def kept_by_block(
    config: ModelConfig,
    dense: bool,
    precision: Precision = "bf16-mixed",
    kernels: Kernels = "cuda",
    load: float = 1.0,
) -> float:
    """Bytes that one block keeps for one position, where experts get ``load`` times their even share of rows."""
    half = 2 if precision == "bf16-mixed" else FP32
    mixed, cpu = half == 2, kernels == "cpu"
    width, moe = config.width, config.moe
    kv_width = config.kv_heads * config.head_channels
    seen_kv = kv_width if cpu else width  # on CUDA keys and values are repeated for each head
    norm = FP32 * (width + 1) + FP32 * width * cpu  # input and its scale; on CPU the scaled input as well
    attention = (
        norm
        + half * width  # input of the projections
        + FP32
        * (width + kv_width * (1 if mixed else 2))  # what QK-norm reads; in fp32 with the values beside it
        + FP32 * (width + kv_width) * cpu  # scaled queries and keys
        + FP32 * (config.heads + config.kv_heads)
        + half * 2 * config.head_channels * mixed  # cosines and sines in 16 bits
        + half * (width + 2 * seen_kv)  # what the kernel reads
        + half * width * (2 if cpu else 1)  # what it gives, on CPU in the order of buckets and of positions
        + FP32 * config.heads
    )
    if dense:
        return float(attention + norm + half * (width + 4 * moe.top_k * moe.expert_width))
    routed = (
        FP32 * width  # input of the router, in fp32
        + 2 * FP32 * moe.experts
        + (moe.experts if moe.routing != "agnostic" else 0)  # which are closed
        + moe.top_k * (4 * INT64 + 2 * FP32)
        + INT64
        + 2 * FP32
        + load
        * half
        * moe.top_k
        * (2 * width + 3 * moe.expert_width)  # rows and outputs; gate and up, product
    )
    shared = half * (4 * moe.shared_width + (width if mixed else 0)) if moe.shared_width else 0
    return float(attention + norm + routed + shared)


def kept_outside(config: ModelConfig, vocabulary: Vocabulary, workload: Workload, kernels: Kernels) -> float:
    """Bytes that embedding, last norm and the image and audio heads keep for one position."""
    fp32_norm = FP32 * config.width * (2 if kernels == "cpu" else 1)
    image, audio, mix = config.image, config.audio, workload.mix
    draws = image.draws * (12 * image.depth * image.width + 4 * vocabulary.patch_values + 4 * image.width)
    codes = vocabulary.codebooks * (
        12 * audio.depth * audio.width + 4 * audio.width + 3 * (vocabulary.codebook_size + 1)
    )
    return fp32_norm + 16 + FP32 * (draws * mix.image + codes * mix.audio)


def memory_of(
    config: ModelConfig,
    vocabulary: Vocabulary,
    parameters: Parameters,
    workload: Workload,
    mesh: Mesh,
    checkpointing: Checkpointing = "none",
    precision: Precision = "bf16-mixed",
    sharding: Sharding = "full",
    kernels: Kernels = "cuda",
) -> Memory:
    """Memory of the fullest GPU: the first stage of a pipeline, with experts evenly loaded inside their groups."""
    share = mesh.tp * mesh.pp
    experts = parameters.parts[EXPERTS] / (share * mesh.ep)
    whole = parameters.shared / share + experts
    own = parameters.shared / (share * mesh.dp * mesh.cp * mesh.ep) + experts / (mesh.dp * mesh.cp)
    kept = sharding == "optimizer" and own < whole  # whole weights stay

    positions = workload.positions / mesh.cp / mesh.tp
    load = busiest(config.moe, workload.mix, mesh.ep)
    blocks = _blocks_bytes(config, mesh, checkpointing, precision, kernels, load)
    in_flight = min(mesh.pp, workload.accumulate)
    outside = kept_outside(config, vocabulary, workload, kernels)
    running = _running(config, parameters, positions, mesh, load)
    head, head_gradient = _head(config, vocabulary, positions * workload.mix.text, mesh, precision)
    layer_weights = (parameters.shared + parameters.parts[EXPERTS] / mesh.ep) / mesh.tp / config.layers
    cast = own * (1 - parameters.parts["embed"] / parameters.total)  # tables are looked up, not multiplied
    return Memory(
        weights=FP32 * own + (whole * (2 if precision == "bf16-mixed" else FP32) if kept else 0.0),
        gradients=FP32 * (whole if kept else own),
        optimizer=2 * FP32 * own,
        activations=positions * (in_flight * blocks + outside),
        logits=head_gradient + max(0.0, head - running),
        buffers=running + (0.0 if kept else _copies(mesh, layer_weights, cast, precision)),
    )


def _running(config: ModelConfig, parameters: Parameters, positions: float, mesh: Mesh, load: float) -> float:
    """Gradients inside the block that runs backward: of its rows, or of its largest matrix."""
    moe = config.moe
    sparse = config.layers - moe.dense_layers
    rows = positions * FP32 * 2 * (load * moe.top_k if sparse else 1) * config.width
    stacked = (
        parameters.parts[EXPERTS] / mesh.ep / sparse if sparse else parameters.parts["dense"] / config.layers
    )
    return max(rows, FP32 * 2 / 3 * stacked / mesh.tp)


def _head(
    config: ModelConfig, vocabulary: Vocabulary, targets: float, mesh: Mesh, precision: Precision
) -> tuple[float, float]:
    """Bytes of the text head while it runs (before any block runs backward), and of its gradient, which stays.

    Under autocast a chunk's logits, its gradients, the weight and a chunk's share of its gradient are there in
    16 bits too.
    """
    chunk, matrix = min(config.text.chunk, max(1.0, targets)), vocabulary.text * config.width / mesh.tp
    logits = chunk * vocabulary.text / mesh.tp
    low = 2 * 2 * (logits + matrix) if precision == "bf16-mixed" else 0.0
    return FP32 * (logits + 2 * targets * config.width) + low, FP32 * matrix


def _copies(mesh: Mesh, layer_weights: float, cast: float, precision: Precision) -> float:
    """Whole weights of the layers that run where they are sharded, or autocast's 16-bit copies of all."""
    half = 2 if precision == "bf16-mixed" else FP32
    if mesh.dp * mesh.cp * mesh.ep > 1:
        return GATHERED_LAYERS * half * layer_weights
    return half * cast if precision == "bf16-mixed" else 0.0


def _blocks_bytes(
    config: ModelConfig,
    mesh: Mesh,
    checkpointing: Checkpointing,
    precision: Precision,
    kernels: Kernels,
    load: float,
) -> float:
    """Bytes that the blocks of one stage keep for one position."""
    layers, dense = config.layers / mesh.pp, min(config.moe.dense_layers, config.layers / mesh.pp)
    sparse_kept, dense_kept = (
        kept_by_block(config, kind, precision, kernels, load) for kind in (False, True)
    )
    if checkpointing == "block":
        return layers * FP32 * config.width + (dense_kept if dense == layers else sparse_kept)
    return (layers - dense) * sparse_kept + dense * dense_kept
