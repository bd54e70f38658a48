"""The whole network: causal, blind to other documents, and indifferent to how documents are packed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig, TextHeadConfig, Vocabulary
from omni.nn.noise import document_of
from omni.sequence import OmniBatch, Sequence
from tests.nn.encoders.encoder_model import tiny_encoders
from tests.nn.moe_layer import GROUPS
from tests.tiny import tiny_documents
from tests.tiny_model import gradients, sequences_of, shake, tiny_config, tiny_model

MIXES: dict[str, dict[str, Any]] = {
    "experts": {},
    "dense first layer, shared expert": {
        "moe": MoEConfig(experts=4, top_k=2, expert_width=16, dense_layers=1, shared_width=8)
    },
    "grouped experts, balance loss": {
        "moe": MoEConfig(**GROUPS["grouped"], expert_width=16, balance_loss=0.1)
    },
    "hybrid experts, sigmoid router, balance loss": {
        "moe": MoEConfig(**GROUPS["hybrid"], expert_width=16, score="sigmoid", balance_loss=0.1)
    },
    "encoders": {"encoders": tiny_encoders()},
    "sigmoid router, untied head": {
        "moe": MoEConfig(experts=4, top_k=1, expert_width=16, score="sigmoid"),
        "text": TextHeadConfig(tied=False),
    },
}


def documents(count: int = 8) -> list[Sequence]:
    """One of each direction between modalities, a sum and running text."""
    return sequences_of(tiny_documents(count))


def disturbed(batch: OmniBatch, position: int, modality: Modality) -> OmniBatch:
    """The batch with other content at one position of its only row."""
    ids, patches, codes = batch.text_ids.clone(), batch.patches.clone(), batch.codes.clone()
    nth = int(batch.of(modality)[0, :position].sum())
    if modality is TEXT:
        ids[0, position] += 1
    elif modality is IMAGE:
        patches[nth] += 1.0
    else:
        codes[nth] = (codes[nth] + 1) % 16
    return replace(batch, text_ids=ids, patches=patches, codes=codes)


# ------------------------------------------------------------------ causality


@pytest.mark.parametrize("modality", [TEXT, IMAGE, AUDIO], ids=lambda m: m.name)
@pytest.mark.parametrize("dense_layers", [2, 0], ids=["dense", "experts"])
def test_no_position_sees_a_later_one_and_no_document_another(modality: Modality, dense_layers: int) -> None:
    """Change one position: what is before it, and every other document, stays the same.

    To the last bit in a dense model. Experts multiply the positions of all documents together, so one
    position more or less may round differently.
    """
    moe = MoEConfig(experts=4, top_k=2, expert_width=16, dense_layers=dense_layers)
    model, batch = tiny_model(dtype=torch.float64, moe=moe), collate([documents()])
    before = model(batch).x_BSD[0]
    ends = torch.tensor(batch.lengths).cumsum(0).tolist()
    places = batch.of(modality)[0].nonzero().flatten()
    for position in places[:: max(1, len(places) // 5)].tolist():
        change = (model(disturbed(batch, position, modality)).x_BSD[0] - before).abs().amax(-1)
        seen = (change > (0 if dense_layers else 1e-10)).nonzero().flatten().tolist()
        assert seen == list(range(position, next(end for end in ends if end > position)))


def test_no_gradient_flows_back_from_later_positions_or_other_documents() -> None:
    model, batch = tiny_model(), collate([documents()])
    document_I = document_of(batch)[batch.of(IMAGE).flatten()].tolist()
    patches = batch.patches.clone().requires_grad_()
    x_SD = model(replace(batch, patches=patches)).x_BSD[0]
    for number, position in list(enumerate(batch.of(IMAGE)[0].nonzero().flatten().tolist()))[::4]:
        (gradient,) = torch.autograd.grad(x_SD[position].square().sum(), patches, retain_graph=True)
        expected = [i for i in range(number + 1) if document_I[i] == document_I[number]]
        assert gradient.any(-1).nonzero().flatten().tolist() == expected


# ------------------------------------------------------------------ packing


def loss_and_gradients(model: OmniTransformer, *batches: OmniBatch) -> dict[str, Tensor]:
    """Of all batches together, as one optimizer step."""
    model.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches:
        loss = compute_losses(model, model(batch), batch).total
        loss.backward()
        total += loss.detach()
    return {"loss": total, **gradients(model)}


@pytest.mark.parametrize("mix", MIXES)
def test_packed_with_others_or_alone_is_the_same(mix: str) -> None:
    """Eight documents in one row, in three, in reverse, or each in a batch of its own."""
    model, docs = tiny_model(dtype=torch.float64, **MIXES[mix]), documents()
    together = collate([docs])
    expected = loss_and_gradients(model, together)
    assert expected["loss"] > 1, expected["loss"]
    step = (together.targets.tolist(), together.step_positions)
    packings = {
        "three rows": [collate([docs[:2], docs[2:5], docs[5:]])],
        "reverse": [collate([docs[::-1]])],
        "alone": [collate([[doc]], None, *step) for doc in docs],
        "two accumulated batches": [collate([docs[:3]], None, *step), collate([docs[3:]], None, *step)],
        "much padding": [collate([docs[:2], docs[2:5], docs[5:]], row_length=700)],
    }
    for name, batches in packings.items():
        got = loss_and_gradients(model, *batches)
        for key, tensor in expected.items():
            assert torch.allclose(got[key], tensor, rtol=1e-8, atol=1e-10), (name, key)


def test_what_stands_in_padding_does_not_matter() -> None:
    model, docs = tiny_model(dtype=torch.float64), documents(3)
    batch = collate([docs], row_length=sum(map(len, docs)) + 20)
    ids, coords = batch.text_ids.clone(), batch.coords.clone()
    ids[:, -20:], coords[:, -20:] = 7, 99
    torch.testing.assert_close(
        loss_and_gradients(model, replace(batch, text_ids=ids, coords=coords)),
        loss_and_gradients(model, batch),
    )


def test_every_weight_gets_a_gradient_from_documents_of_all_kinds() -> None:
    model = tiny_model()
    got = loss_and_gradients(model, collate([documents()]))
    assert [name for name, gradient in got.items() if not gradient.any()] == []


@pytest.mark.parametrize("mix", MIXES)
def test_autocast_to_16_bits_is_close(mix: str) -> None:
    model, batch = tiny_model(**MIXES[mix]), collate([documents()])
    full = compute_losses(model, model(batch), batch).total
    with torch.autocast("cpu", torch.bfloat16):
        half = compute_losses(model, model(batch), batch).total
    half.backward()
    assert half.item() == pytest.approx(full.item(), rel=0.05)


# ------------------------------------------------------------------ weights


def test_initialise_is_a_function_of_the_seed() -> None:
    def weights(seed: int, other: int) -> dict[str, Tensor]:
        torch.manual_seed(other)  # what the constructors drew must not matter
        model = OmniTransformer(
            tiny_config(), Vocabulary(text=20, patch_values=4, max_grid=3, codebooks=3, codebook_size=5)
        )
        shake(model)
        model.initialise(seed)
        return model.state_dict()

    first, again, another = weights(0, 1), weights(0, 2), weights(1, 1)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not first["embed.text.weight"].equal(another["embed.text.weight"])


def test_loss_at_the_start_is_that_of_guessing() -> None:
    """Heads start near zero: text at log V, pictures at the mean square of patch minus noise."""
    model = OmniTransformer(tiny_config(width=64), tiny_model().vocabulary)
    model.initialise(0)
    batch = collate([documents()])
    losses = compute_losses(model, model(batch), batch)
    text, image, _ = (losses.sums_M / losses.counts_M).tolist()
    assert text == pytest.approx(torch.tensor(330.0).log().item(), abs=0.7)
    assert image == pytest.approx(1 + batch.patches.square().mean().item(), abs=0.2)


def test_parameter_counts_worked_example() -> None:
    """Width 32, 2 layers, 4 heads of 8 channels over 2 key/value heads, 4 experts of width 16, 2 chosen.

    The experts that a position does not visit are not active: half of them.
    """
    vocabulary = Vocabulary(text=20, patch_values=4, max_grid=3, codebooks=3, codebook_size=5)
    model = OmniTransformer(tiny_config(), vocabulary)
    embed = 20 * 32 + (4 * 32 + 32) + 2 * 3 * 32 + 15 * 32
    attention = 32 * (32 + 16 + 16) + 32 * 32 + 2 * 8
    experts = 4 * (2 * 16 * 32 + 32 * 16)
    block = attention + experts + 4 * 32 + 2 * 32  # router, two norms
    modulated = (24 * 72 + 72) + 2 * (24 * 24 + 24)
    image = (32 * 24 + 24) + 2 * 3 * 24 + (64 * 24 + 24) + (4 * 24 + 24) + modulated + (24 * 4 + 4)
    audio = (32 * 24 + 24) + 3 * 24 + 15 * 24 + modulated + 3 * 6 * 24
    total = embed + 2 * block + 32 + image + audio  # the text head is tied to the embedding
    assert model.parameter_counts() == {"total": total, "active": total - 2 * experts // 2}
    assert model.parameter_counts() == {"total": 30724, "active": 24580}
