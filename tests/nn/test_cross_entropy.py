"""Chunked cross entropy against all logits at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from omni.nn.heads.cross_entropy import chunked_cross_entropy

N, D, V = 37, 16, 50


def inputs(dtype: torch.dtype = torch.float32, positions: int = N, scale: float = 1.0) -> list[Tensor]:
    hidden, weight = (scale * torch.randn(n, D) for n in (positions, V))
    return [
        hidden.to(dtype).requires_grad_(),
        weight.to(dtype).requires_grad_(),
        torch.randint(V, (positions,)),
    ]


def of_all_logits(hidden: Tensor, weight: Tensor, ids: Tensor, z_loss: float) -> tuple[Tensor, Tensor]:
    logits = hidden @ weight.T
    nats = F.cross_entropy(logits, ids, reduction="sum")
    return nats + z_loss * logits.logsumexp(-1).square().sum(), nats.detach()


@pytest.mark.parametrize("z_loss", [0.0, 0.02])
@pytest.mark.parametrize("chunk", [1, 8, 37, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_equals_all_logits_at_once(chunk: int, z_loss: float, dtype: torch.dtype) -> None:
    hidden, weight, ids = inputs(dtype)
    found = chunked_cross_entropy(hidden, weight, ids, chunk, z_loss)
    expected = of_all_logits(hidden, weight, ids, z_loss)
    torch.testing.assert_close(found, expected)
    fast, slow = (torch.autograd.grad(0.3 * loss, (hidden, weight)) for loss, _ in (found, expected))
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


def test_nats_are_without_the_z_loss_and_detached() -> None:
    hidden, weight, ids = inputs()
    plain, _ = chunked_cross_entropy(hidden, weight, ids, 8)
    objective, nats = chunked_cross_entropy(hidden, weight, ids, 8, z_loss=0.1)
    assert nats.item() == plain.item() < objective.item()
    assert objective.requires_grad and not nats.requires_grad


def test_under_autocast_sums_and_the_weights_gradient_stay_in_fp32() -> None:
    """4,000 positions of some 6 nats: a bf16 sum would be off by up to 64. No less exact than autocast is."""
    hidden, weight, ids = inputs(positions=4000)
    exact = of_all_logits(hidden.double(), weight.double(), ids, 0.01)[0]
    with torch.autocast("cpu", torch.bfloat16):
        plain, _ = of_all_logits(hidden, weight, ids, 0.01)
        found, nats = chunked_cross_entropy(hidden, weight, ids, 256, 0.01)
    assert found.dtype == nats.dtype == torch.float32
    assert found.item() == pytest.approx(exact.item(), rel=1e-3)
    ideal = torch.autograd.grad(exact, (hidden, weight))
    errors = [
        [(got - want).norm() / want.norm() for got, want in zip(gradients, ideal, strict=True)]
        for gradients in (torch.autograd.grad(loss, (hidden, weight)) for loss in (found, plain))
    ]
    assert all(ours < 1.1 * plains for ours, plains in zip(*errors, strict=True)), errors
    assert max(errors[0]) < 0.01


def test_extreme_logits_are_finite() -> None:
    hidden, weight, ids = inputs(scale=100.0)
    loss, _ = chunked_cross_entropy(hidden, weight, ids, 8, 1e-4)
    torch.testing.assert_close(loss, of_all_logits(hidden, weight, ids, 1e-4)[0])
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, (hidden, weight)))


class Largest(TorchDispatchMode):
    """Notes the most elements of any tensor that an operation gives back."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.elements = max(self.elements, out.numel())
        return out


def test_only_a_chunk_of_logits_is_ever_there() -> None:
    hidden, weight, ids = inputs(positions=400)
    with Largest() as seen:
        chunked_cross_entropy(hidden, weight, ids, 20, 1e-4)[0].backward()
    assert seen.elements == hidden.numel() > 20 * V
    with Largest() as seen:
        F.cross_entropy(hidden @ weight.T, ids).backward()
    assert seen.elements == 400 * V


def test_without_gradients_there_is_one_product() -> None:
    hidden, weight, ids = inputs()
    with torch.no_grad():
        loss, nats = chunked_cross_entropy(hidden, weight, ids, 8)
    assert not loss.requires_grad
    assert loss.item() == nats.item()
    loss, _ = chunked_cross_entropy(hidden, weight.detach(), ids, 8)
    expected = of_all_logits(hidden, weight, ids, 0.0)[0]
    gradients = [torch.autograd.grad(x, hidden)[0] for x in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_a_second_backward_pass_is_refused() -> None:
    hidden, weight, ids = inputs()
    loss, _ = chunked_cross_entropy(hidden, weight, ids, 8)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="a second backward pass through the text head's loss"):
        loss.backward()
