"""Checks of settings; their messages name the key, the constraint and what was got."""

from __future__ import annotations

import math


def require(condition: bool, message: str) -> None:
    """
    Raises:
        ValueError: with ``message``, unless ``condition``.
    """
    if not condition:
        raise ValueError(message)


def at_least(config: object, part: str, **least: int) -> None:
    """Check that fields of ``config`` are finite and not below their least values.

    Args:
        config: the settings.
        part: where they stand in a run's config, with a dot at the end.
        least: least value by field.

    Raises:
        ValueError: one is below, NaN or infinite.
    """
    for name, value in least.items():
        got = getattr(config, name)
        require(math.isfinite(got), f"{part}{name} must be a finite number, got {got}")
        require(got >= value, f"{part}{name} must be at least {value}, got {got}")


def positive(config: object, part: str, *names: str) -> None:
    """Check that fields of ``config`` are finite and above zero; ``part`` as in ``at_least``.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        got = getattr(config, name)
        require(math.isfinite(got) and got > 0, f"{part}{name} must be positive, got {got}")
