"""What each part of a training step costs: both passes of the part alone, on the inputs that it had in the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.omni_step_made import Rows, Trainer
from benchmarks.turns import Times, Turn
from omni.losses import Targets, corrupt_inputs, targets_of
from omni.nn.attention import Attention
from omni.nn.embed import Embed
from omni.nn.moe.layer import MoE
from omni.nn.moe.router import Router
from omni.nn.noise import Noise

STEP = "step"
MIXTURE = "router and experts"


@dataclass(frozen=True, eq=False)
class Call:
    """A module and what it was called with in a step."""

    module: nn.Module
    inputs: tuple[Any, ...]


def parts_of(trainer: Trainer, rows: Rows) -> dict[str, Turn]:
    """The whole step, then its parts, by name."""
    batch = rows.batch()
    targets = targets_of(batch, trainer.model.audio_head.end)
    calls, hidden_BSD = _recorded(trainer, rows)
    parts: dict[str, Turn] = {STEP: partial(trainer.step, rows), "data": partial(_lay_out, trainer, rows)}
    parts |= {name: partial(_replay, trainer, group) for name, group in calls.items()}
    parts |= {
        f"{name} head": partial(_both_passes, trainer, loss, [hidden_BSD], list(head.parameters()))
        for name, head, loss in _heads(trainer, targets)
    }
    trainer.step(rows)  # the optimizer has its state
    gradients = [torch.zeros_like(parameter) for parameter in trainer.model.parameters()]
    return parts | {"optimizer": partial(_update, trainer, gradients)}


def shares(times: Times) -> dict[str, float]:
    """Share of the step by part, experts without their router; ``rest`` is what lies between the parts."""
    step = times.median(STEP)
    found = {name: times.median(name) / step for name in times.seconds if name != STEP}
    found["experts"] = found.pop(MIXTURE) - found["router"]
    return found | {"rest": 1 - sum(found.values())}


def _recorded(trainer: Trainer, rows: Rows) -> tuple[dict[str, list[Call]], Tensor]:
    """Calls of a step by part, and the hidden states that the heads read."""
    model = trainer.model
    calls: dict[str, list[Call]] = {"embedding": [], "attention": [], "router": [], MIXTURE: []}

    def record(part: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, inputs: calls[part].append(Call(module, inputs))

    kinds: dict[type[nn.Module], str] = {
        Embed: "embedding",
        Attention: "attention",
        Router: "router",
        MoE: MIXTURE,
    }
    watched = [(kinds[type(module)], module) for module in model.modules() if type(module) in kinds]
    hooks = [module.register_forward_pre_hook(record(part)) for part, module in watched]
    batch = rows.batch()
    with torch.no_grad(), trainer.autocast():
        hidden = model(batch, rows.context(batch))
    for hook in hooks:
        hook.remove()
    return calls, hidden.x_BSD


def _replay(trainer: Trainer, calls: list[Call]) -> None:
    for call in calls:

        def run(*floats: Tensor, call: Call = call) -> Tensor:
            given = iter(floats)
            outputs = call.module(*(next(given) if _is_float(x) else x for x in call.inputs))
            return _summed(outputs)

        inputs = [x for x in call.inputs if _is_float(x)]
        _both_passes(trainer, run, inputs, list(call.module.parameters()))


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _summed(outputs: Any) -> Tensor:
    """Something to differentiate that depends on all outputs: a mixture's are a tensor and its routing."""
    if isinstance(outputs, Tensor):
        return outputs.sum()
    if isinstance(outputs, tuple):
        return sum((_summed(output) for output in outputs), torch.zeros(()))
    return outputs.gates_NT.sum() + outputs.z_N.sum()


def _both_passes(
    trainer: Trainer, run: Callable[..., Tensor], inputs: list[Tensor], parameters: list[nn.Parameter]
) -> None:
    fresh = [x.detach().requires_grad_() for x in inputs]
    with trainer.autocast():
        loss = run(*fresh)
    torch.autograd.grad(loss, [*fresh, *parameters], allow_unused=True)


def _heads(trainer: Trainer, targets: Targets) -> list[tuple[str, nn.Module, Callable[[Tensor], Tensor]]]:
    model = trainer.model
    draws, patches = model.image_head.draws, targets.patches
    noise, time = torch.randn(draws, *patches.shape), torch.rand(draws, len(patches))

    def text(x_BSD: Tensor) -> Tensor:
        return model.text_head.loss(x_BSD[targets.text_BS], targets.text_ids).objective

    def image(x_BSD: Tensor) -> Tensor:
        return model.image_head.loss(x_BSD[targets.image_BS], targets.places, patches, noise, time)

    def audio(x_BSD: Tensor) -> Tensor:
        return model.audio_head.loss(x_BSD[targets.audio_BS], targets.codes)[0]

    return [
        ("text", model.text_head, text),
        ("image", model.image_head, image),
        ("audio", model.audio_head, audio),
    ]


def _lay_out(trainer: Trainer, rows: Rows) -> None:
    """Collate, corrupt, find the targets and draw their noise."""
    batch, model = rows.batch(), trainer.model
    noise = Noise.of_rows(batch, 0)
    corrupt_inputs(batch, model, noise)
    marked_N = targets_of(batch, model.audio_head.end).image_BS.flatten()
    noise.normal(marked_N, model.image_head.draws, model.vocabulary.patch_values)
    noise.uniform(marked_N, model.image_head.draws)


def _update(trainer: Trainer, gradients: list[Tensor]) -> None:
    for parameter, gradient in zip(trainer.model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    trainer.update()
