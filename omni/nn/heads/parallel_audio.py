"""The audio head of the layouts ``delay`` and ``flat``: the codes of a position at once, each by itself.

What a code owes to the earlier ones of its frame, the backbone has read at earlier positions (MusicGen, arXiv
2306.05284). Otherwise it is the depth head: the same blocks, without the codes said before.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.heads.audio import AudioHead
from omni.nn.heads.modulated import ModulatedBlock
from omni.nn.precision import at_least_fp32


class ParallelAudioHead(AudioHead):
    """Codes that are not there at a position (negative ones) are no targets."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        nn.Module.__init__(self)
        width = config.audio.width
        self.codebooks, self.codebook_size = vocabulary.codebooks, vocabulary.codebook_size
        self.hidden = nn.Linear(config.width, width)
        self.level = nn.Embedding(self.codebooks, width)
        self.blocks = nn.ModuleList(ModulatedBlock(width) for _ in range(config.audio.depth))
        self.logits = nn.Parameter(torch.empty(self.codebooks, self.codebook_size + 1, width))

    def _logits(self, hidden_NH: Float[Tensor, "N H"], k: int) -> Float[Tensor, "N Q"]:
        """Of codebook k; only code 0 can end the clip."""
        condition_NH = hidden_NH + self.level.weight[k]
        x_NH = self._features(condition_NH, condition_NH.new_zeros(()))
        logits_NQ = at_least_fp32(x_NH @ self.logits[k].to(x_NH.dtype).T)
        if k:
            logits_NQ[:, self.end] = float("-inf")
        return logits_NQ

    def loss(
        self, hidden_FD: Float[Tensor, "F D"], codes_FK: Int[Tensor, "F K"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Nats summed over positions and the codes that are there, and those of code 0 alone."""
        hidden_FH = self.hidden(hidden_FD)
        nats = []
        for k, code_F in enumerate(codes_FK.T):
            there = (code_F >= 0) & ((code_F < self.end) | (k == 0))
            row_N = there.nonzero().squeeze(1)
            logits_NQ = self._logits(hidden_FH.index_select(0, row_N), k)
            nats.append(F.cross_entropy(logits_NQ, code_F[row_N], reduction="sum"))
        return torch.stack(nats).sum(), nats[0]

    @torch.no_grad()
    def sample(
        self,
        hidden_FD: Float[Tensor, "F D"],
        choose: Callable[[Float[Tensor, "F Q"], int], Int[Tensor, " F"]],
        guidance: float = 1.0,
        free_FD: Float[Tensor, "F D"] | None = None,
    ) -> Int[Tensor, "F K"]:
        """A code of each codebook per row, whichever of them the layout has there; code 0 may be ``end``."""
        hidden_FH = self.hidden(hidden_FD)
        free_FH = None if free_FD is None else self.hidden(free_FD)
        chosen: list[Tensor] = []
        for k in range(self.codebooks):
            logits_FQ = self._logits(hidden_FH, k)
            if free_FH is not None:
                guided, free = logits_FQ.log_softmax(-1), self._logits(free_FH, k).log_softmax(-1)
                logits_FQ = free + guidance * (guided - free)
                if k:
                    logits_FQ[:, self.end] = float("-inf")
            chosen.append(choose(logits_FQ, k))
        return torch.stack(chosen, dim=1)
