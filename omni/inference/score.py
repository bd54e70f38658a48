"""What a model says of given text: the cost of each token in nats."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int

from omni.losses import targets_of
from omni.model import OmniTransformer
from omni.sequence import OmniBatch


@torch.no_grad()
def text_nats(
    model: OmniTransformer, batch: OmniBatch
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Ids of all text targets of a batch, and the nats that each costs the model."""
    batch = batch.to(next(model.parameters()).device)
    targets = targets_of(batch, model.audio_head.end)
    chunks = zip(
        model(batch).x_BSD[targets.text_BS].split(model.config.text.chunk),
        targets.text_ids.split(model.config.text.chunk),
        strict=True,
    )
    nats = torch.cat([F.cross_entropy(model.text_head(x), ids, reduction="none") for x, ids in chunks])
    return targets.text_ids.cpu().numpy(), nats.double().cpu().numpy()
