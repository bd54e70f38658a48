"""Drawing the next position of rows from the head that speaks next, each by its own settings and noise."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omni.inference.grammar import Grammar
from omni.inference.matrix import linear_product
from omni.inference.request import TokenLogprob
from omni.inference.row import Phase, Row
from omni.inference.sampling import choose, penalised
from omni.model import OmniTransformer
from omni.nn.precision import at_least_fp32

HEADS = {
    Phase.TEXT: "text",
    Phase.GRID_ROWS: "text",
    Phase.GRID_COLS: "text",
    Phase.PATCH: "patch",
    Phase.FRAME: "frame",
}


class Drawer:
    """Lays down the next position of each row.

    ``shape`` is the number of rows that the heads are given, padding among them; 0 for as many as there are.
    ``packs``: see ``EngineConfig``.
    """

    def __init__(self, model: OmniTransformer, grammar: Grammar, shape: int = 0, packs: bool = True) -> None:
        self.model, self.grammar, self.shape, self.packs = model, grammar, shape, packs

    def draw(
        self, rows: list[Row], hidden_BD: Float[Tensor, "B D"], free_BD: Float[Tensor, "B D"] | None
    ) -> None:
        """Choose for all rows. ``free_BD`` is the hidden state of the twin; of rows without one, any."""
        by_head: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            if row.phase is Phase.FORCED:
                row.force()
            else:
                by_head.setdefault(HEADS[row.phase], []).append(index)
        if chosen := by_head.get("text"):
            self._text([rows[i] for i in chosen], hidden_BD[chosen])
        for head, draw in (("patch", self._patches), ("frame", self._frames)):
            for group in _alike(rows, by_head.get(head, []), head):
                guided = _guidance(rows[group[0]], head) != 1
                free = free_BD[group] if guided and free_BD is not None else None
                draw([rows[i] for i in group], hidden_BD[group], free)

    def _padded(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, self.shape - len(x))) if self.shape else x

    def _text(self, rows: list[Row], hidden_BD: Tensor) -> None:
        head = linear_product(self.model.text_head.linear, self.packs)
        raw_BV = at_least_fp32(head(self._padded(hidden_BD)))[: len(rows)].cpu()
        logits_BV = _changed(raw_BV, rows) + self.grammar.masks(rows)
        tokens = choose(
            logits_BV,
            [row.generator for row in rows],
            [row.options.temperature for row in rows],
            [row.options.top_p for row in rows],
            [row.options.top_k for row in rows],
            [row.options.min_p for row in rows],
        ).tolist()
        for index, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if row.options.logprobs:
                row.logprobs.append(_reported(raw_BV[index], token, row.options.top_logprobs))
            row.take_token(token)

    def _patches(self, rows: list[Row], hidden_BD: Tensor, free_BD: Tensor | None) -> None:
        options, values = rows[0].options, self.model.vocabulary.patch_values
        noise_BP = torch.stack([torch.randn(values, generator=row.generator) for row in rows])
        patches_BP = self.model.image_head.sample(
            self._padded(hidden_BD),
            self._padded(torch.tensor([row.place for row in rows], device=hidden_BD.device)),
            self._padded(noise_BP.to(hidden_BD)),
            options.image_steps,
            options.image_guidance,
            None if free_BD is None else self._padded(free_BD),
        )[: len(rows)]
        for row, patch_P in zip(rows, patches_BP.float().cpu().numpy(), strict=True):
            row.take_patch(patch_P.clip(-1, 1))

    def _frames(self, rows: list[Row], hidden_BD: Tensor, free_BD: Tensor | None) -> None:
        head = self.model.audio_head
        empty_B = torch.tensor([row.frames == 0 for row in rows])
        generators = [row.generator for row in rows]
        temperatures = [row.options.audio_temperature for row in rows]

        def pick(logits_BQ: Tensor, level: int) -> Tensor:
            padding, logits_BQ = len(logits_BQ) - len(rows), logits_BQ[: len(rows)].cpu()
            if level == 0:
                logits_BQ[empty_B, head.end] = float("-inf")
            return F.pad(choose(logits_BQ, generators, temperatures), (0, padding)).to(hidden_BD.device)

        free_BD = None if free_BD is None else self._padded(free_BD)
        codes_BK = head.sample(self._padded(hidden_BD), pick, rows[0].options.audio_guidance, free_BD)
        codes_BK = codes_BK[: len(rows)]
        for row, codes_K in zip(rows, codes_BK.cpu().numpy(), strict=True):
            row.take_frame(codes_K, head.end)


def _guidance(row: Row, head: str) -> float:
    return row.options.image_guidance if head == "patch" else row.options.audio_guidance


def _alike(rows: list[Row], chosen: list[int], head: str) -> list[list[int]]:
    """Groups of rows that a head can draw for at once."""

    def settings(index: int) -> tuple[Hashable, ...]:
        steps = rows[index].options.image_steps if head == "patch" else 0
        return steps, _guidance(rows[index], head)

    return [list(group) for _, group in groupby(sorted(chosen, key=settings), key=settings)]


def _changed(logits_BV: Float[Tensor, "B V"], rows: list[Row]) -> Float[Tensor, "B V"]:
    """Logits with the rows' biases and penalties; a copy where there are any."""
    biased = [(i, row.options.logit_bias) for i, row in enumerate(rows) if row.options.logit_bias]
    if biased:
        logits_BV = logits_BV.clone()
        for index, bias in biased:
            logits_BV[index, list(bias)] += torch.tensor(list(bias.values())).to(logits_BV)
    if any(row.options.repetition_penalty != 1 for row in rows):
        seen_BV = torch.stack([row.seen() for row in rows])
        penalty_B1 = torch.tensor([[row.options.repetition_penalty] for row in rows]).to(logits_BV)
        logits_BV = penalised(logits_BV, seen_BV, penalty_B1)
    return logits_BV


def _reported(logits_V: Float[Tensor, " V"], token: int, top: int) -> TokenLogprob:
    logprobs_V = logits_V.log_softmax(-1)
    values, tokens = logprobs_V.topk(min(top, len(logprobs_V)))
    likeliest = zip(tokens.tolist(), values.tolist(), strict=True)
    return TokenLogprob(token, float(logprobs_V[token]), tuple(likeliest))
