"""Batched generation in every modality: prompts are packed into one prefill, then all rows grow together."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omni.inference.cache import KeyValueCache
from omni.inference.causal import require_causal
from omni.inference.options import SamplingOptions
from omni.inference.row import Phase, Row
from omni.inference.sampling import choose
from omni.layout import SequenceBuilder
from omni.modality import AUDIO, IMAGE
from omni.model import OmniTransformer
from omni.sequence import OmniBatch

ROOM = 64
"""Positions that the cache keeps free at first."""
TEXT_PHASES = (Phase.TEXT, Phase.GRID_ROWS, Phase.GRID_COLS)


@torch.no_grad()
def generate(
    model: OmniTransformer, rows: list[Row], on_progress: Callable[[int], None] | None = None
) -> None:
    """Grow all rows until they are done. ``on_progress`` is told the number of rows that are.

    All rows have a twin or none has, and they share their sampling settings but for the seed.

    Raises:
        ValueError: a model that can't generate, since its experts choose positions.
    """
    require_causal(model.config)
    cache = KeyValueCache(model.config.layers)
    active = list(rows)
    hidden_BD = _prefill(model, cache, _builders(active))
    while True:
        _draw(model, active, hidden_BD)
        running = [row.phase is not Phase.DONE for row in active]
        if on_progress:
            on_progress(len(rows) - sum(running))
        if not any(running):
            return
        if sum(running) <= 0.75 * len(active):
            kept = torch.tensor([i for i, runs in enumerate(running) if runs])
            active = [active[i] for i in kept.tolist()]
            twins = len(running) + kept if active[0].twin else kept[:0]
            cache.select(torch.cat([kept, twins]))
        hidden_BD = model(_latest(_builders(active), model), cache).x_BSD[:, 0]
        cache.advance()


def _builders(rows: list[Row]) -> list[SequenceBuilder]:
    """Builders of the rows, then those of their twins."""
    return [row.builder for row in rows] + [row.twin for row in rows if row.twin is not None]


def _prefill(
    model: OmniTransformer, cache: KeyValueCache, builders: list[SequenceBuilder]
) -> Float[Tensor, "B D"]:
    """Run all prompts as one packed row; returns the hidden state of each prompt's last position."""
    lengths = [len(builder.modality) for builder in builders]
    batch = _batch(builders, [slice(None)] * len(builders), (1, sum(lengths)), model)
    hidden_1SD = model(batch, cache.prefill(lengths, ROOM, batch.text_ids.device)).x_BSD
    return hidden_1SD[0, torch.tensor(lengths).cumsum(0) - 1]


def _latest(builders: list[SequenceBuilder], model: OmniTransformer) -> OmniBatch:
    """The newest position of each row; that of a finished row again and again until it leaves the batch."""
    return _batch(builders, [slice(-1, None)] * len(builders), (len(builders), 1), model)


def _batch(
    builders: Seq[SequenceBuilder], parts: Seq[slice], shape: tuple[int, int], model: OmniTransformer
) -> OmniBatch:
    modality = [np.array(b.modality[part], dtype=np.uint8) for b, part in zip(builders, parts, strict=True)]
    patches, codes = [], []
    for builder, ids in zip(builders, modality, strict=True):
        images, frames = int((ids == IMAGE.id).sum()), int((ids == AUDIO.id).sum())
        patches.extend(builder.patches[len(builder.patches) - images :])
        codes.extend(builder.codes[len(builder.codes) - frames :])
    vocabulary = model.vocabulary

    def flat(name: str) -> np.ndarray:
        return np.concatenate([np.array(getattr(b, name)[p]) for b, p in zip(builders, parts, strict=True)])

    return OmniBatch(
        modality=torch.from_numpy(np.concatenate(modality)).view(shape),
        text_ids=torch.from_numpy(flat("text_ids")).view(shape),
        coords=torch.from_numpy(flat("coords")).view(*shape, 3),
        loss=torch.zeros(shape, dtype=torch.bool),
        patches=torch.from_numpy(np.array(patches, dtype=np.float32).reshape(-1, vocabulary.patch_values)),
        codes=torch.from_numpy(np.array(codes, dtype=np.int64).reshape(-1, vocabulary.codebooks)),
        lengths=(shape[1],) * shape[0],
        targets=torch.zeros(3, dtype=torch.int64),
    ).to(next(model.parameters()).device)


def _draw(model: OmniTransformer, rows: list[Row], hidden_BD: Float[Tensor, "B D"]) -> None:
    """Choose the next position of every row that is not done, and lay it down."""
    by_phase: dict[Phase, list[int]] = {}
    for index, row in enumerate(rows):
        by_phase.setdefault(row.phase, []).append(index)
    for index in by_phase.get(Phase.FORCED, []):
        rows[index].force()
    text = [index for phase in TEXT_PHASES for index in by_phase.get(phase, [])]
    patches, frames = (by_phase.get(phase) for phase in (Phase.PATCH, Phase.FRAME))
    for draw, chosen in ((_draw_text, text), (_draw_patches, patches), (_draw_frames, frames)):
        if chosen:
            free = hidden_BD[len(rows) :][chosen] if rows[0].twin else None
            draw(model, [rows[i] for i in chosen], hidden_BD[chosen], free)


def _draw_text(model: OmniTransformer, rows: list[Row], hidden_BD: Tensor, free_BD: Tensor | None) -> None:
    logits_BV = model.text_head(hidden_BD).cpu()
    allowed_BV = torch.stack([row.allowed_text(logits_BV.shape[-1]) for row in rows])
    options = rows[0].options
    tokens_B = choose(
        logits_BV.masked_fill(~allowed_BV, float("-inf")),
        [row.generator for row in rows],
        options.temperature,
        options.top_p,
        options.top_k,
    )
    for row, token in zip(rows, tokens_B.tolist(), strict=True):
        row.take_token(token)


def _draw_patches(model: OmniTransformer, rows: list[Row], hidden_BD: Tensor, free_BD: Tensor | None) -> None:
    options: SamplingOptions = rows[0].options
    values = model.vocabulary.patch_values
    noise_BP = torch.stack([torch.randn(values, generator=row.generator) for row in rows])
    patches_BP = model.image_head.sample(
        hidden_BD,
        torch.tensor([row.place for row in rows], device=hidden_BD.device),
        noise_BP.to(hidden_BD),
        options.image_steps,
        options.image_guidance,
        free_BD if options.image_guidance != 1 else None,
    )
    for row, patch_P in zip(rows, patches_BP.float().cpu().numpy(), strict=True):
        row.take_patch(patch_P.clip(-1, 1))


def _draw_frames(model: OmniTransformer, rows: list[Row], hidden_BD: Tensor, free_BD: Tensor | None) -> None:
    options, head = rows[0].options, model.audio_head
    empty_B = torch.tensor([row.frames == 0 for row in rows])
    generators = [row.generator for row in rows]

    def pick(logits_BQ: Tensor, level: int) -> Tensor:
        logits_BQ = logits_BQ.cpu()
        if level == 0:
            logits_BQ[empty_B, head.end] = float("-inf")
        return choose(logits_BQ, generators, options.audio_temperature).to(hidden_BD.device)

    guided = options.audio_guidance != 1
    codes_BK = head.sample(hidden_BD, pick, options.audio_guidance, free_BD if guided else None)
    for row, codes_K in zip(rows, codes_BK.cpu().numpy(), strict=True):
        row.take_frame(codes_K, head.end)
