"""What a judge says about an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What was read, seen or heard."""

    answer: str | None
    """The word; ``None`` where there was nothing to judge, such as silence."""
    margin: float | None = None
    """Lead over the second choice, for judges that have one: about 1 is a clear win, near 0 a toss-up.

    It doesn't tell a word from noise: a judge that has to choose may choose firmly.
    """


NOTHING = Verdict(None)
