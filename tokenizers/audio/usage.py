"""How evenly the codes of a codec are used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class LevelUsage:
    """Use of the codes of one codebook."""

    used: int
    """Codes that came up at all."""
    perplexity: float
    """Codes that would carry as much if all were equally frequent; at most Q."""


def codebook_usage(codes_FK: Int[np.ndarray, "F K"], codebook_size: int) -> list[LevelUsage]:
    """Use of each codebook, first level first, over at least one frame."""
    levels = []
    for codes_F in codes_FK.T:
        count_Q = np.bincount(codes_F, minlength=codebook_size)
        share = count_Q[count_Q > 0] / len(codes_F)
        levels.append(LevelUsage(len(share), float(np.exp(-(share * np.log(share)).sum()))))
    return levels
