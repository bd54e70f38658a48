"""The audio head: the K codes of a frame one after another (a depth network as in Moshi, arXiv 2410.00037).

Code k is predicted from the hidden state and the codes 0..k-1 of the same frame. Code 0 has one class more:
the end of the clip.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.heads.modulated import ModulatedBlock
from omni.nn.precision import at_least_fp32

IGNORED = -100
"""Target of codes that aren't there."""


class AudioHead(nn.Module):
    """An MLP over (frame, codebook): its blocks are shared by the codebooks, its output matrices are not."""

    code_offsets_K: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        width = config.audio.width
        self.codebooks, self.codebook_size = vocabulary.codebooks, vocabulary.codebook_size
        self.hidden = nn.Linear(config.width, width)
        self.level = nn.Embedding(self.codebooks, width)
        self.earlier = nn.Embedding(self.codebooks * self.codebook_size, width)
        self.blocks = nn.ModuleList(ModulatedBlock(width) for _ in range(config.audio.depth))
        self.logits = nn.Parameter(torch.empty(self.codebooks, self.codebook_size + 1, width))
        offsets = torch.arange(self.codebooks) * self.codebook_size
        self.register_buffer("code_offsets_K", offsets, persistent=False)

    @property
    def end(self) -> int:
        """Value of code 0 that ends the clip: Q."""
        return self.codebook_size

    def _features(self, condition_FkH: Tensor, earlier_FkH: Tensor) -> Tensor:
        x = condition_FkH + earlier_FkH
        for block in self.blocks:
            x = block(x, condition_FkH)
        return F.layer_norm(x, x.shape[-1:])

    def loss(
        self,
        hidden_FD: Float[Tensor, "F D"],
        codes_FK: Int[Tensor, "F K"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Nats summed over frames and codes, and those of code 0 alone. Nothing comes after an ``end``."""
        ends_F = codes_FK[:, 0] == self.end
        safe_FK = codes_FK.masked_fill(ends_F.unsqueeze(1), 0)
        earlier_FKH = self.earlier(safe_FK + self.code_offsets_K)[:, :-1].cumsum(1)
        earlier_FKH = F.pad(earlier_FKH, (0, 0, 1, 0))
        condition_FKH = self.hidden(hidden_FD).unsqueeze(1) + self.level.weight
        x_FKH = self._features(condition_FKH, earlier_FKH)
        logits_KFQ = at_least_fp32(torch.einsum("fkh,kqh->kfq", x_FKH, self.logits.to(x_FKH.dtype)))
        logits_KFQ[1:, :, self.end] = float("-inf")  # only code 0 can end the clip
        target_KF = codes_FK.T.clone()
        target_KF[1:, ends_F] = IGNORED
        pairs = zip(logits_KFQ, target_KF, strict=True)
        nats_K = torch.stack([F.cross_entropy(x, y, reduction="sum", ignore_index=IGNORED) for x, y in pairs])
        return nats_K.sum(), nats_K[0]

    @torch.no_grad()
    def sample(
        self,
        hidden_FD: Float[Tensor, "F D"],
        choose: Callable[[Float[Tensor, "F Q"], int], Int[Tensor, " F"]],
        guidance: float = 1.0,
        free_FD: Float[Tensor, "F D"] | None = None,
    ) -> Int[Tensor, "F K"]:
        """Codes of one frame per row; code 0 may be ``end``.

        ``choose`` picks from the logits (F, Q + 1) of codebook k.
        """
        hidden = hidden_FD if free_FD is None else torch.cat([hidden_FD, free_FD])
        base_FH = self.hidden(hidden)
        earlier_FH = torch.zeros_like(base_FH)
        chosen: list[Tensor] = []
        for k in range(self.codebooks):
            x_FH = self._features(base_FH + self.level.weight[k], earlier_FH)
            logits_FQ = at_least_fp32(x_FH @ self.logits[k].T)
            if free_FD is not None:
                guided, free = logits_FQ.log_softmax(-1).chunk(2)
                logits_FQ = free + guidance * (guided - free)
            if k:
                logits_FQ[:, self.end] = float("-inf")
            codes_F = choose(logits_FQ, k)
            chosen.append(codes_F)
            known = self.earlier(codes_F.clamp(max=self.codebook_size - 1) + self.code_offsets_K[k])
            earlier_FH = earlier_FH + known.repeat(len(hidden) // len(hidden_FD), 1)
        return torch.stack(chosen, dim=1)
