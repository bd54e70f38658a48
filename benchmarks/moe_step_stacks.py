"""What ``benchmarks.moe_step`` times: a layer alone, and the training step of a model around it.

The model is ours on text alone; only the layer behind each attention differs. So a difference between two steps is
one between their layers and what their weights cost the optimizer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from benchmarks.moe_step_clock import Turn
from benchmarks.moe_step_peers import COMPILED, DENSE, OURS, PEERS, Ours, dense
from omni.losses import compute_losses
from omni.modality import TEXT
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, MoEConfig, Vocabulary
from omni.nn.moe.layer import MoE
from omni.optim.build import build_optimizer
from omni.optim.config import OptimConfig
from omni.sequence import OmniBatch
from omni.training.compiling import CompileConfig, compile_parts, compiled_activation

VOCABULARY = Vocabulary(text=8192, patch_values=48, max_grid=8, codebooks=4, codebook_size=64)
SKEWED = 4.6
"""The largest load of an expert, over the mean."""
BATCHES = 4
"""Different inputs that take turns, so that no load of the experts is met twice in a row."""


@dataclass(frozen=True)
class Size:
    """Of a model and its batch."""

    width: int = 384
    layers: int = 4
    experts: int = 16
    top_k: int = 2
    expert_width: int = 512
    rows: int = 4
    length: int = 512

    @property
    def config(self) -> ModelConfig:
        """The model; heads have 64 channels."""
        moe = MoEConfig(experts=self.experts, top_k=self.top_k, expert_width=self.expert_width)
        heads = self.width // 64
        return ModelConfig(width=self.width, layers=self.layers, heads=heads, kv_heads=heads, moe=moe)


class Swapped(nn.Module):
    """A layer in the place of ours in a block: without routing."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, x_BSD: Float[Tensor, "B S D"], modality_BS: UInt8[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B S D"], None]:
        """The layer's output."""
        return self.layer(x_BSD), None


SIZES = {
    "layer": Size(),
    "small": Size(rows=1, length=256),
    "step": Size(),
    "step_d512": Size(width=512, layers=8),
    "step_64_experts": Size(experts=64, top_k=8, expert_width=128),
}
"""By column."""


def layers_of(
    size: Size, half: bool, names: Sequence[str]
) -> tuple[dict[str, nn.Module], dict[str, str], dict[str, str]]:
    """The dense layer, ours and those called ``names``; why some can't be had, and why some have no place here."""
    ours = our_layer(size)
    layers: dict[str, nn.Module] = {DENSE: dense(size.config), OURS: Ours(ours)}
    if COMPILED in names:
        twin = copy.deepcopy(ours)
        twin.experts.activation = compiled_activation()
        layers[COMPILED] = Ours(twin)
    missing: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for peer in (peer for peer in PEERS if peer.name in names):
        if why := peer.why_not(half, size.rows * size.length * size.top_k):
            left_out[peer.name] = why
            continue
        try:
            layers[peer.name] = peer.make(size.config, ours)
        except ImportError as error:
            missing[peer.name] = f"not installed ({error}); pip install 'omni[bench]'"
    return layers, missing, left_out


def our_layer(size: Size) -> MoE:
    """Our layer with random weights."""
    ours = MoE(size.config)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return ours


def skew_turns(half: bool) -> tuple[dict[str, Turn], float]:
    """Our layer with an even load and with a skewed one; and the largest load over the mean of the latter."""
    size = SIZES["layer"]
    even, skewed = our_layer(size), our_layer(size)
    x_ND = torch.randn(size.rows * size.length, size.width)
    modality_N = torch.full((len(x_ND),), TEXT.id, dtype=torch.uint8)
    slope_E, strength, load = torch.linspace(1, 0, size.experts), 0.0, 1.0
    while load < SKEWED:
        strength += 0.01
        skewed.router.bias.copy_(strength * slope_E**4)
        counts_E = torch.bincount(
            skewed.router(x_ND, modality_N).experts_NT.flatten(), minlength=size.experts
        )
        load = float(counts_E.max() / counts_E.float().mean())
    return layer_turns({"even": Ours(even), "skewed": Ours(skewed)}, size, half), load


def layer_turns(layers: Mapping[str, nn.Module], size: Size, half: bool) -> dict[str, Turn]:
    """Forward and backward pass of each layer alone, with gradients of input and weights."""
    shape = (size.rows, size.length, size.width)
    inputs = [torch.randn(shape) for _ in range(BATCHES)]
    upstream = torch.randn(shape)

    def turn(layer: nn.Module) -> Turn:
        def work(number: int) -> None:
            layer.zero_grad(set_to_none=True)
            x_BSD = inputs[number % BATCHES].detach().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out_BSD = layer(x_BSD)
            out_BSD.backward(upstream.to(out_BSD.dtype))

        return work

    return {name: turn(layer) for name, layer in layers.items()}


def check_outputs(layers: Mapping[str, nn.Module], size: Size) -> None:
    """
    Raises:
        ValueError: a layer that computes another function than ours.
    """
    x_BSD = torch.randn(size.rows, size.length, size.width)
    with torch.no_grad():
        expected = layers[OURS](x_BSD)
        for name, layer in layers.items():
            if name != DENSE:
                error = float((layer(x_BSD) - expected).norm() / expected.norm())
                if error > 0.02:  # one that computes in bf16 chooses other experts here and there
                    raise ValueError(f"{name}: its output differs from ours by {error:.1%}")


def step_turns(names: Sequence[str], size: Size, half: bool) -> dict[str, Turn]:
    """Whole training steps (forward, backward, AdamW) of a model around each of the layers called ``names``."""
    batches = [text_batch(size, seed) for seed in range(BATCHES)]
    return {name: step_turn(model_around(name, size), batches, half) for name in names}


def model_around(name: str, size: Size) -> OmniTransformer:
    """Our model with the layer called ``name`` in each block; all start with the same weights."""
    config = size.config
    if name == DENSE:
        config = replace(config, moe=replace(config.moe, dense_layers=config.layers))
    model = OmniTransformer(config, VOCABULARY)
    model.initialise(0)
    if name == COMPILED:
        compile_parts(model, CompileConfig(experts=True, attention=True), torch.device("cpu"))
    elif name not in (DENSE, OURS):
        (peer,) = (peer for peer in PEERS if peer.name == name)
        for block in model.blocks:
            ours = block.moe
            assert isinstance(ours, MoE), type(ours)
            block.moe = Swapped(peer.make(config, ours))
    return model.train()


def step_turn(model: OmniTransformer, batches: Sequence[OmniBatch], half: bool) -> Turn:
    """Training steps of ``model``, as ``omni fit`` does them."""
    optimizer, _ = build_optimizer(model, OptimConfig(schedule="constant"), 1)

    def work(number: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        batch = batches[number % len(batches)]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = compute_losses(model, model(batch), batch).total
        loss.backward()
        optimizer.step()
        for router in model.routers():
            router.balance()

    return work


def text_batch(size: Size, seed: int) -> OmniBatch:
    """Rows of one document of random text each."""
    shape = (size.rows, size.length)
    generator = torch.Generator().manual_seed(seed)
    positions = size.rows * size.length
    return OmniBatch(
        modality=torch.full(shape, TEXT.id, dtype=torch.uint8),
        text_ids=torch.randint(VOCABULARY.text, shape, generator=generator),
        coords=torch.arange(size.length).view(1, -1, 1).repeat(size.rows, 1, 3),
        loss=torch.ones(shape, dtype=torch.bool),
        patches=torch.zeros(0, VOCABULARY.patch_values),
        codes=torch.zeros(0, VOCABULARY.codebooks, dtype=torch.long),
        lengths=(size.length,) * size.rows,
        targets=torch.tensor([positions - size.rows, 0, 0]),
        step_positions=positions,
        keys=tuple(f"row {row}" for row in range(size.rows)),
    )
