"""A training step of a small model, eager and compiled.

Command:  python -m tests.training.compiled_step fp32|bf16
Result:   as JSON "loss", "eager_loss", "error" of the compiled model's gradients against the eager one's, and
          "rounding", that of the eager one's against fp32
"""

from __future__ import annotations

import copy
import json
import sys

import torch

from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.training.compiling import CompileConfig, compile_parts
from tests.planning.text_batch import VOCABULARY, small_config, text_batch
from tests.tiny_model import gradients, shake


def make_model() -> OmniTransformer:
    """One layer, nothing in it zero, and no choice of experts that rounding could turn over."""
    moe = MoEConfig(experts=4, top_k=4, expert_width=64)
    model = OmniTransformer(small_config(layers=1, moe=moe), VOCABULARY)
    model.initialise(0)
    shake(model)
    return model


def step(model: OmniTransformer, half: bool) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a batch that is always the same."""
    torch.manual_seed(1)
    batch = text_batch(2, 64)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = compute_losses(model, model(batch), batch).total
    loss.backward()
    return float(loss.detach()), gradients(model)


def main() -> None:
    """Compare."""
    half = sys.argv[1] == "bf16"
    torch.set_num_threads(1)
    eager = make_model()
    compiled = copy.deepcopy(eager)
    compile_parts(compiled, CompileConfig(experts=True, attention=True), torch.device("cpu"))
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    exact = copy.deepcopy(eager)
    (loss, grads), (eager_loss, expected) = step(compiled, half), step(eager, half)
    found = {
        "loss": loss,
        "eager_loss": eager_loss,
        "error": difference(grads, expected),
        "rounding": difference(expected, step(exact, False)[1]),
    }
    print(json.dumps(found))


def difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Of all gradients together, as a share of their norm."""
    apart, whole = (
        torch.cat([tensor.flatten() for tensor in tensors])
        for tensors in ([found[name] - expected[name] for name in expected], expected.values())
    )
    return float(apart.norm() / whole.norm())


if __name__ == "__main__":
    main()
