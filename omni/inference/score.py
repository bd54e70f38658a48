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
    logits = model.text_head(model(batch).x_BSD[targets.text_BS])
    nats = F.cross_entropy(logits, targets.text_ids, reduction="none")
    return targets.text_ids.cpu().numpy(), nats.double().cpu().numpy()
