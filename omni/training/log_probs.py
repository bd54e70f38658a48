"""What a model says of whole answers: log-probabilities of documents, split by modality, with gradients.

* Text: the log-probability of each target token, markers of pictures and clips among them.
* Audio: that of each target frame, the sum over its codebooks through the depth head.
* Pictures: the flow head has no tractable density (it would take the divergence of the velocity along the whole
  flow). Its place takes, as in Diffusion-DPO (arXiv 2311.12908, eq. 14), the error of the flow at random times
  under given noise: ``-scale / 2 * |velocity error|^2``, summed over a patch's values, mean over draws. That is the
  log-density, up to a constant, of a velocity with unit variance; only differences under the *same* noise and times
  mean anything, so a policy and its reference must be given the same ``Noise``.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from omni.losses import Targets, rows_where, targets_of
from omni.modality import AUDIO, IMAGE, MODALITIES, TEXT
from omni.model import Hidden, OmniTransformer
from omni.nn.noise import Noise, document_of
from omni.sequence import OmniBatch


def document_log_probs(
    model: OmniTransformer, hidden: Hidden, batch: OmniBatch, noise: Noise, picture_scale: float = 1.0
) -> Float[Tensor, "documents M"]:
    """Nats of the targets of each document of ``batch.lengths``, by modality.

    Args:
        model: its heads are asked.
        hidden: of the batch.
        batch: the documents.
        noise: of the flow; the same for whatever is compared.
        picture_scale: weight of pictures against tokens and codes.
    """
    targets = targets_of(batch, model.audio_head.end)
    document_N, x_BSD, count = document_of(batch), hidden.x_BSD, len(batch.lengths)
    text_n = text_log_probs(model, x_BSD, targets)
    picture_i = -picture_scale * picture_costs(model, x_BSD, targets, noise)
    found = {
        TEXT.id: _added(text_n, document_N[targets.text_BS.flatten()], count),
        IMAGE.id: _added(picture_i, document_N[targets.image_BS.flatten()], count),
        AUDIO.id: _clip_log_probs(model, x_BSD, targets, document_N[targets.audio_BS.flatten()], count),
    }
    return torch.stack([found[modality.id] for modality in MODALITIES], dim=-1)


def _added(
    values_n: Float[Tensor, " n"], document_n: Int[Tensor, " n"], documents: int
) -> Float[Tensor, " documents"]:
    return values_n.new_zeros(documents).index_add(0, document_n, values_n)


def text_log_probs(
    model: OmniTransformer, x_BSD: Float[Tensor, "B S D"], targets: Targets
) -> Float[Tensor, " n"]:
    """Log-probability of each text target; logits exist for ``model.config.text.chunk`` positions at a time."""
    rows = rows_where(x_BSD, targets.text_BS).split(model.config.text.chunk)
    ids = targets.text_ids.split(model.config.text.chunk)
    costs = partial(_token_costs, model)
    if len(rows) == 1:
        return -costs(rows[0], ids[0])
    parts = [checkpoint(costs, x, y, use_reentrant=False) for x, y in zip(rows, ids, strict=True)]
    return -torch.cat(parts)


def _token_costs(model: OmniTransformer, x_nD: Tensor, ids_n: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return F.cross_entropy(model.text_head(x_nD), ids_n, reduction="none")


def picture_costs(
    model: OmniTransformer, x_BSD: Float[Tensor, "B S D"], targets: Targets, noise: Noise
) -> Float[Tensor, " i"]:
    """Half the squared velocity error of each target patch, summed over its values, mean over draws."""
    draws, marked_N = model.config.image.draws, targets.image_BS.flatten()
    values = model.vocabulary.patch_values
    noise_IP = noise.normal(marked_N, draws, values).transpose(0, 1).to(x_BSD)
    time_I = noise.uniform(marked_N, draws).T.to(x_BSD)
    errors_i = model.image_head.errors(
        rows_where(x_BSD, targets.image_BS),
        targets.places,
        targets.patches.to(x_BSD.dtype),
        noise_IP,
        time_I,
    )
    return errors_i * (values / 2)


def _clip_log_probs(
    model: OmniTransformer, x_BSD: Tensor, targets: Targets, document_f: Int[Tensor, " f"], documents: int
) -> Float[Tensor, " documents"]:
    """By document; the head sums over frames, so it is asked once for each document that has some."""
    rows_fD = rows_where(x_BSD, targets.audio_BS)
    nothing = model.audio_head.loss(rows_fD[:0], targets.codes[:0])[
        0
    ]  # every rank has a gradient for the head
    found = nothing.expand(documents)
    for document in document_f.unique().tolist():
        own = (document_f == document).nonzero().squeeze(1)
        nats = model.audio_head.loss(rows_fD[own], targets.codes[own])[0]
        found = found.index_add(0, document_f.new_tensor([document]), -nats.unsqueeze(0))
    return found
