"""A forecast of the text loss by a published scaling law."""

from __future__ import annotations

from dataclasses import dataclass

LAW = "Chinchilla (arXiv 2203.15556, eq. 10) with the constants refitted in arXiv 2404.10102"
CAVEAT = (
    "fitted to dense models of English web text with their tokenizer: nats a token compare only within one "
    "tokenizer. A mixture of experts lies between a dense model of its active and one of its total parameters."
)
_E, _A, _B, _ALPHA, _BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658


@dataclass(frozen=True)
class Forecast:
    """Nats a token on web text, as the law has it."""

    as_dense_active: float
    """Of a dense model with the active parameters: the upper end for a mixture of experts."""
    as_dense_total: float
    """Of a dense model with all parameters: the lower end."""
    law: str = LAW
    caveat: str = CAVEAT


def chinchilla_loss(parameters: float, tokens: float) -> float:
    """Nats a token of a dense model of ``parameters`` after ``tokens``."""
    return _E + _A / parameters**_ALPHA + _B / tokens**_BETA


def forecast(active: int, total: int, tokens: float) -> Forecast:
    """The law at both ends for a mixture of experts; for a dense model they are the same."""
    return Forecast(chinchilla_loss(float(active), tokens), chinchilla_loss(float(total), tokens))
