"""The three heads: each loss against a naive loop, each sampler against its own loss's logits or velocity."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.nn.config import TextHeadConfig
from omni.nn.heads.audio import AudioHead
from omni.nn.heads.image import ImageHead, time_features
from omni.nn.heads.text import TextHead
from tests.tiny_model import VOCABULARY, shake, tiny_config

K, Q, P = VOCABULARY.codebooks, VOCABULARY.codebook_size, VOCABULARY.patch_values
END = Q


def audio_head() -> AudioHead:
    head = AudioHead(tiny_config(), VOCABULARY)
    nn.init.normal_(head.logits, std=0.3)
    shake(head)
    return head


def image_head() -> ImageHead:
    head = ImageHead(tiny_config(), VOCABULARY)
    shake(head)
    return head


def greedy(logits_FQ: Tensor, level: int) -> Tensor:
    return logits_FQ.argmax(-1)


# ------------------------------------------------------------------ audio


def slow_logits(head: AudioHead, hidden_D: Tensor, codes_K: list[int]) -> list[Tensor]:
    """The obvious way: one codebook after another, told the sum of the embeddings of the codes before it."""
    logits = []
    for level in range(K):
        condition = head.hidden(hidden_D) + head.level.weight[level]
        x = condition + sum(
            (head.earlier.weight[before * Q + codes_K[before]] for before in range(level)), torch.zeros(24)
        )
        for block in head.blocks:
            x = block(x, condition)
        logits.append(head.logits[level] @ F.layer_norm(x, x.shape))
    return logits


def slow_nats(head: AudioHead, hidden_D: Tensor, codes_K: list[int]) -> list[float]:
    """Of each code; the end of the clip is a choice of code 0 alone."""
    logits = slow_logits(head, hidden_D, [0] * K if codes_K[0] == END else codes_K)
    nats = [-logits[0].log_softmax(0)[codes_K[0]].item()]
    if codes_K[0] != END:
        nats += [-logits[k][:Q].log_softmax(0)[codes_K[k]].item() for k in range(1, K)]
    return nats


def test_audio_loss_equals_a_loop_over_frames_and_codes() -> None:
    head, hidden = audio_head(), torch.randn(4, 32)
    codes = [[1, 2, 3], [0, 4, 4], [END, END, END], [3, 0, 1]]
    total, first = head.loss(hidden, torch.tensor(codes))
    nats = [slow_nats(head, *pair) for pair in zip(hidden, codes, strict=True)]
    assert [len(frame) for frame in nats] == [3, 3, 1, 3]
    assert total.item() == pytest.approx(sum(sum(frame) for frame in nats), rel=1e-5)
    assert first.item() == pytest.approx(sum(frame[0] for frame in nats), rel=1e-5)


def test_what_stands_beside_an_end_does_not_matter() -> None:
    head, hidden = audio_head(), torch.randn(1, 32)
    assert (
        head.loss(hidden, torch.tensor([[END, 1, 2]]))[0] == head.loss(hidden, torch.tensor([[END, 4, 0]]))[0]
    )


def test_greedy_codes_are_the_argmax_of_the_teacher_forced_logits() -> None:
    head, hidden = audio_head(), torch.randn(30, 32)
    codes_FK = head.sample(hidden, greedy)
    for hidden_D, codes_K in zip(hidden, codes_FK.tolist(), strict=True):
        if codes_K[0] == END:
            assert slow_logits(head, hidden_D, [0] * K)[0].argmax() == END
            continue
        logits = slow_logits(head, hidden_D, codes_K)
        assert codes_K == [logits[0].argmax().item(), *(x[:Q].argmax().item() for x in logits[1:])]


def test_only_code_0_can_end_a_clip() -> None:
    head, hidden = audio_head(), torch.randn(20, 32)
    seen: list[Tensor] = []

    def note(logits_FQ: Tensor, level: int) -> Tensor:
        seen.append(logits_FQ)
        return torch.full((20,), END if level == 0 else 1)

    codes_FK = head.sample(hidden, note)
    assert codes_FK.tolist() == [[END, 1, 1]] * 20
    assert [bool(logits[:, END].isinf().all()) for logits in seen] == [False, True, True]


def test_audio_guidance() -> None:
    """1 is none, 0 is the model without the prompt, 2 goes as far again beyond."""
    head, hidden, free = audio_head(), torch.randn(6, 32), torch.randn(6, 32)

    def first_logits(guidance: float, free_FD: Tensor | None, hidden_FD: Tensor = hidden) -> Tensor:
        seen: list[Tensor] = []

        def note(logits_FQ: Tensor, level: int) -> Tensor:
            seen.append(logits_FQ)
            return logits_FQ.argmax(-1)

        head.sample(hidden_FD, note, guidance, free_FD)
        return seen[0].log_softmax(-1)

    plain, without = first_logits(1.0, None), first_logits(1.0, None, free)
    torch.testing.assert_close(first_logits(1.0, free), plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first_logits(0.0, free), without, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        first_logits(2.0, free), (2 * plain - without).log_softmax(-1), rtol=1e-4, atol=1e-5
    )
    assert head.sample(hidden, greedy, 1.0, free).equal(head.sample(hidden, greedy))


def test_no_frames_cost_nothing_and_have_a_gradient_of_zeros() -> None:
    head = audio_head()
    total, first = head.loss(torch.zeros(0, 32), torch.zeros(0, K, dtype=torch.long))
    assert (total.item(), first.item()) == (0, 0)
    total.backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


# ------------------------------------------------------------------ image


def test_flow_loss_worked_case() -> None:
    """A head that always says velocity 0: the loss of a patch is the mean square of ``patch - noise``."""
    head = image_head()
    nn.init.zeros_(head.velocity.weight)
    nn.init.zeros_(head.velocity.bias)
    patches = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    noise = torch.tensor([[[0.0, 0, 0, 0], [3, 0, 0, 0]], [[1, 1, 1, -1], [0, 0, 0, 0]]])  # two draws
    loss = head.loss(
        torch.randn(2, 32), torch.zeros(2, 2, dtype=torch.long), patches, noise, torch.rand(2, 2)
    )
    #  draw 0: squares 1 1 1 1 | 9 0 0 0   draw 1: 0 0 0 4 | 0 0 0 0
    assert loss.item() == pytest.approx((4 + 4) / 8 + (9 + 0) / 8)


def test_flow_loss_equals_a_loop_over_draws_and_patches() -> None:
    head, hidden = image_head(), torch.randn(3, 32)
    place, patches = torch.tensor([[0, 0], [0, 1], [2, 2]]), torch.randn(3, P)
    noise, time = torch.randn(2, 3, P), torch.rand(2, 3)
    slow = 0.0
    for draw in range(2):
        for i in range(3):
            t = time[draw, i]
            condition = head.hidden(hidden[i]) + head.row.weight[place[i, 0]] + head.col.weight[place[i, 1]]
            condition = condition + head.time(time_features(t))
            x = head.noisy((1 - t) * noise[draw, i] + t * patches[i]) + condition
            for block in head.blocks:
                x = block(x, condition)
            velocity = head.velocity(F.layer_norm(x, x.shape))
            slow += (velocity - (patches[i] - noise[draw, i])).square().mean().item() / 2
    assert head.loss(hidden, place, patches, noise, time).item() == pytest.approx(slow, rel=1e-5)


def test_sampling_follows_the_velocity() -> None:
    """With a constant velocity Euler's steps are exact, however many there are."""
    head = image_head()
    nn.init.zeros_(head.velocity.weight)
    with torch.no_grad():
        head.velocity.bias.copy_(torch.tensor([1.0, -2.0, 0.0, 0.5]))
    noise = torch.randn(2, P)
    for steps in (1, 7):
        out = head.sample(torch.randn(2, 32), torch.zeros(2, 2, dtype=torch.long), noise, steps)
        torch.testing.assert_close(out, noise + head.velocity.bias.detach())


def test_image_guidance() -> None:
    """1 is none, 0 is the model without the prompt; in one step the rest lies on a line through both."""
    head, hidden, free = image_head(), torch.randn(3, 32), torch.randn(3, 32)
    place, noise = torch.tensor([[0, 0], [0, 1], [1, 0]]), torch.randn(3, P)

    def sampled(guidance: float, steps: int = 1) -> Tensor:
        return head.sample(hidden, place, noise, steps, guidance, free)

    plain, without = head.sample(hidden, place, noise, 5), head.sample(free, place, noise, 5)
    torch.testing.assert_close(sampled(1.0, 5), plain)
    torch.testing.assert_close(sampled(0.0, 5), without)
    torch.testing.assert_close(sampled(3.0), sampled(0.0) + 3 * (sampled(1.0) - sampled(0.0)))


def test_a_constant_patch_is_learnt_in_a_few_steps() -> None:
    head, target = image_head(), torch.tensor([0.5, -0.25, 0.0, 0.75])
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    hidden, place = torch.randn(1, 32).expand(64, -1), torch.zeros(64, 2, dtype=torch.long)
    for _ in range(150):
        optimizer.zero_grad()
        loss = head.loss(hidden, place, target.expand(64, -1), torch.randn(2, 64, P), torch.rand(2, 64))
        loss.backward()
        optimizer.step()
    out = head.sample(hidden, place, torch.randn(64, P), steps=25)
    assert (out.mean(0) - target).abs().max() < 0.1, out.mean(0)
    assert out.std(0).max() < 0.15, out.std(0)


def test_no_patches_cost_nothing_and_have_a_gradient_of_zeros() -> None:
    head = image_head()
    empty = torch.zeros(2, 0)
    loss = head.loss(
        torch.zeros(0, 32),
        torch.zeros(0, 2, dtype=torch.long),
        torch.zeros(0, P),
        torch.zeros(2, 0, P),
        empty,
    )
    assert loss.item() == 0
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


# ------------------------------------------------------------------ text


@pytest.mark.parametrize("chunk", [1, 4, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_text_loss_equals_cross_entropy_of_all_logits(chunk: int, dtype: torch.dtype) -> None:
    head = TextHead(32, 20, TextHeadConfig(tied=False, chunk=chunk), nn.Embedding(20, 32)).to(dtype)
    hidden, ids = torch.randn(9, 32, dtype=dtype, requires_grad=True), torch.randint(20, (9,))
    losses = head.loss(hidden, ids).objective, F.cross_entropy(head(hidden), ids, reduction="sum")
    torch.testing.assert_close(*losses)
    fast, slow = (torch.autograd.grad(loss, (hidden, head.linear.weight)) for loss in losses)
    torch.testing.assert_close(fast, slow)


def test_tied_heads_share_the_embedding() -> None:
    embedding = nn.Embedding(20, 32)
    assert TextHead(32, 20, TextHeadConfig(tied=True), embedding).linear.weight is embedding.weight
    assert TextHead(32, 20, TextHeadConfig(tied=False), embedding).linear.weight is not embedding.weight


def test_no_tokens_cost_nothing_and_have_a_gradient_of_zeros() -> None:
    head = TextHead(32, 20, TextHeadConfig(), nn.Embedding(20, 32))
    loss, nats = head.loss(torch.zeros(0, 32), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert (loss.item(), nats.item()) == (0, 0)
    assert head.linear.weight.grad is not None
    assert not head.linear.weight.grad.any()
