"""Values of a YAML file checked against what is expected; an error names the key, the value and the kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omni.ablation.mapping import check_known

NUMBERS = (int, float)
Made = TypeVar("Made")


def typed_fields(kind: Callable[..., Made], values: Any, where: str) -> Made:
    """A dataclass of plain values, each checked against the type of its field.

    Raises:
        ValueError: a key that isn't a field, or a value of another kind; the message begins with ``where``.
    """
    given = mapping(values, where)
    known = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    check_known(given, known, where)
    for name, value in given.items():
        typed(value, _KINDS[known[name]], f"{where}.{name}")
    return kind(**{name: _as_number(value, known[name]) for name, value in given.items()})


_OPTIONAL = type(None)
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (*NUMBERS, str),
    "int | None": (int, _OPTIONAL),
    "float | None": (*NUMBERS, str, _OPTIONAL),
    "Match": (str,),
    "str": (str,),
    "Path | None": (Path, _OPTIONAL),
    "Mapping[str, int]": (dict,),
}


def _as_number(value: Any, kind: str) -> Any:
    """YAML reads 1e12 without a dot as a text, and 10 as a whole number."""
    return float(value) if kind.startswith("float") and value is not None else value


def typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """The value, if it is of a kind.

    Raises:
        ValueError: it isn't; the message begins with ``where``.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
    if not wrong and isinstance(value, str) and float in kinds:
        try:
            float(value)
        except ValueError:
            wrong = True
    if wrong:
        names = " or ".join(one.__name__ for one in kinds if one not in (_OPTIONAL, str) or len(kinds) == 1)
        raise ValueError(f"{where} must be {names}, got {value!r:.60}")
    return value


def mapping(value: Any, where: str) -> dict[str, Any]:
    """The value, if it is a mapping.

    Raises:
        ValueError: it isn't; the message begins with ``where``.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a mapping, got {value!r:.60}")
    return value
