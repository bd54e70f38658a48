"""Losses per modality: summed over targets, divided by the optimizer step's global count of targets.

So packing, the number of ranks and accumulation leave the gradient as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omni.modality import AUDIO, IMAGE, MODALITIES, TEXT
from omni.model import Hidden, OmniTransformer
from omni.nn.config import MoEConfig
from omni.nn.moe.sequence_balance import sequence_balance
from omni.nn.noise import Noise, document_of
from omni.sequence import OmniBatch, grid_places


@dataclass(frozen=True, eq=False)
class Targets:
    """Where each head has a target, and which: position t predicts position t + 1."""

    text_BS: Bool[Tensor, "B S"]
    text_ids: Int[Tensor, " n"]
    image_BS: Bool[Tensor, "B S"]
    patches: Float[Tensor, "i P"]
    places: Int[Tensor, "i 2"]
    """Row and column of each target patch in its grid."""
    audio_BS: Bool[Tensor, "B S"]
    codes: Int[Tensor, "f K"]
    """Code 0 is Q where the clip ends."""


def targets_of(batch: OmniBatch, end_code: int) -> Targets:
    """The targets of a batch; ``end_code`` is Q."""
    text, image, audio = (batch.of(m) for m in (TEXT, IMAGE, AUDIO))
    learnt = _next(batch.loss, False)
    ends_BS = learnt & audio & _next(text, False)
    text_BS = learnt & _next(text, False) & ~audio
    image_BS = learnt & _next(image, False)
    audio_BS = (learnt & _next(audio, False)) | ends_BS
    next_patch = _ordinal(image).roll(-1, dims=1)[image_BS]
    next_frame = _ordinal(audio).roll(-1, dims=1)[audio_BS]
    codes = batch.codes[next_frame.clamp(max=len(batch.codes) - 1)] if len(batch.codes) else batch.codes
    codes = codes.masked_fill(ends_BS[audio_BS].unsqueeze(1), end_code)
    return Targets(
        text_BS=text_BS,
        text_ids=batch.text_ids.roll(-1, dims=1)[text_BS],
        image_BS=image_BS,
        patches=batch.patches[next_patch],
        places=grid_places(batch.coords.roll(-1, dims=1)[image_BS]),
        audio_BS=audio_BS,
        codes=codes,
    )


def _next(mask_BS: Bool[Tensor, "B S"], last: bool) -> Bool[Tensor, "B S"]:
    """The mask of the following position; ``last`` behind the end of a row."""
    shifted = mask_BS.roll(-1, dims=1)
    shifted[:, -1] = last
    return shifted


def _ordinal(mask_BS: Bool[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """Number of each marked position among the marked ones, row after row."""
    return (mask_BS.flatten().cumsum(0) - 1).clamp(min=0).view(mask_BS.shape)


@dataclass(frozen=True, eq=False)
class Losses:
    """Sums over the targets of this batch; divide by counts for means."""

    total: Float[Tensor, ""]
    """What to differentiate: weighted, and divided by the step's global counts."""
    sums_M: Float[Tensor, " M"]
    """Nats of text, squared velocity error of patches, nats of frames; detached."""
    counts_M: Int[Tensor, " M"]
    """Targets of each modality in this batch; none of one that the model has no head for."""
    router_z: Float[Tensor, ""]
    """Sum over positions and layers of the squared log-sum-exp; detached."""
    router_balance: Float[Tensor, ""]
    """Sum over positions and layers of the sequence-level balance, 1 each where it is even; detached. 0 where
    it has no weight."""


def compute_losses(
    model: OmniTransformer, hidden: Hidden, batch: OmniBatch, noise: Noise | None = None
) -> Losses:
    """All losses of a batch. ``noise`` is that of the flow; by default it is the documents' own."""
    targets = targets_of(batch, model.audio_head.end)
    x_BSD = hidden.x_BSD
    text = model.text_head.loss(_rows(x_BSD, targets.text_BS), targets.text_ids)
    sums = torch.stack(
        [
            text.objective,
            _image_loss(model, x_BSD, targets, noise or Noise.of_documents(batch)),
            model.audio_head.loss(_rows(x_BSD, targets.audio_BS), targets.codes)[0],
        ]
    )
    config = model.config
    weights = sums.new_tensor([config.text.loss_weight, config.image.loss_weight, config.audio.loss_weight])
    total = (weights * sums / batch.targets.clamp(min=1)).sum()
    z, balance = _router_losses(hidden, batch, config.moe)
    routed = max(1, len(hidden.routing)) * batch.step_positions
    total = total + (config.moe.z_loss * z + config.moe.balance_loss * balance) / routed
    masks = zip(MODALITIES, (targets.text_BS, targets.image_BS, targets.audio_BS), strict=True)
    counts = torch.stack([mask.sum() * (modality in config.generated) for modality, mask in masks])
    said = torch.stack([text.nats, *sums[1:].detach()])
    return Losses(total, said, counts, z.detach(), balance.detach())


def _router_losses(
    hidden: Hidden, batch: OmniBatch, config: MoEConfig
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sums over positions and layers for the z-loss and the balance loss; zero where nothing asks for them."""
    zero = hidden.x_BSD.new_zeros(())
    if not hidden.routing:
        return zero, zero
    real_N, modality_N = batch.real.flatten(), batch.modality.flatten()
    z = torch.stack([(routing.z_N * real_N).sum() for routing in hidden.routing]).sum()
    if not config.balance_loss:
        return z, zero
    document_N, groups = document_of(batch), config.expert_groups
    balance = [
        sequence_balance(routing.scores_NE, document_N, modality_N, groups, config.top_k)
        for routing in hidden.routing
    ]
    return z, torch.stack(balance).sum()


def _rows(x_BSD: Float[Tensor, "B S D"], mask_BS: Bool[Tensor, "B S"]) -> Float[Tensor, "n D"]:
    """``x_BSD[mask_BS]``, whose backward takes 15 times as long on CPU."""
    return x_BSD.flatten(0, 1).index_select(0, mask_BS.flatten().nonzero().squeeze(1))


def _image_loss(model: OmniTransformer, x_BSD: Tensor, targets: Targets, noise: Noise) -> Float[Tensor, ""]:
    draws, marked_N = model.config.image.draws, targets.image_BS.flatten()
    noise_IP = noise.normal(marked_N, draws, model.vocabulary.patch_values).transpose(0, 1)
    time_I = noise.uniform(marked_N, draws).T
    return model.image_head.loss(
        _rows(x_BSD, targets.image_BS),
        targets.places,
        targets.patches.to(x_BSD.dtype),
        noise_IP.to(x_BSD),
        time_I.to(x_BSD),
    )


def corrupt_inputs(batch: OmniBatch, model: OmniTransformer, noise: Noise) -> OmniBatch:
    """What the model reads while it trains: noisy patches, and clips of its own with wrong codes in them.

    How much is drawn per document, uniformly from zero to the configured most. The targets stay clean: take
    them from the batch that came in.
    """
    config, (_, codebooks) = model.config, batch.codes.shape
    all_N = document_of(batch)
    opening_N = (all_N.diff(prepend=all_N.new_tensor([-1])) > 0) & batch.real.flatten()
    document_N = opening_N.cumsum(0) - 1  # padding is none
    patch_N, frame_N = batch.of(IMAGE).flatten(), batch.of(AUDIO).flatten()
    strength_I = config.image.input_noise * noise.uniform(opening_N)[document_N[patch_N]]
    own_F = batch.loss.flatten()[frame_N]
    frame_rate_F, code_rate_F = (
        config.audio.input_corruption * noise.uniform(opening_N)[document_N[frame_N]] * own_F
        for _ in range(2)
    )
    wrong_FK = noise.uniform(frame_N, codebooks) < code_rate_F[:, None]
    wrong_FK |= noise.uniform(frame_N, 1) < frame_rate_F[:, None]
    held_FK = (batch.codes >= 0) & (batch.codes < model.vocabulary.codebook_size)
    random_FK = (noise.uniform(frame_N, codebooks) * model.vocabulary.codebook_size).long()
    return replace(
        batch,
        patches=batch.patches + strength_I[:, None] * noise.normal(patch_N, batch.patches.shape[1]),
        codes=torch.where(wrong_FK & held_FK, random_FK, batch.codes),
    )


def loss_names() -> list[str]:
    """Names of the losses, in the order of ``Losses.sums_M``."""
    return [m.name for m in MODALITIES]
