"""Fields of a document's JSON; a wrong one is an error that says where it stands and what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omni.datamodules.shards.damage import DocumentError
from omni.sequence import ROLES, Role


def parse_json(content: bytes, where: str) -> dict[str, Any]:
    """The JSON object in ``content``.

    Raises:
        DocumentError: it is no JSON, or no object; begins with ``where``.
    """
    try:
        head = json.loads(content)
    except json.JSONDecodeError as error:
        raise DocumentError(f"{where}: not JSON ({error.msg} at character {error.pos + 1})") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"{where}: not JSON ({error})") from error
    if not isinstance(head, dict):
        raise DocumentError(f"{where}: expected a JSON object with segments, got {short(head)}")
    return head


def string_field(entry: Mapping[str, Any], name: str, where: str) -> str:
    """The string called ``name``; ``where`` ends in a dot or bracket."""
    value = entry.get(name)
    if not isinstance(value, str):
        raise DocumentError(f"{where}{name}: expected a string, got {got(entry, name)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(f"{where}{name}: not Unicode text ({error})") from error
    return value


def count_field(entry: Mapping[str, Any], name: str, where: str) -> int | None:
    """The positive integer called ``name``; ``None`` where the field is left out."""
    if name not in entry:
        return None
    value = entry[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DocumentError(f"{where}{name}: expected a positive integer, got {short(value)}")
    return value


def turn_fields(entry: Mapping[str, Any], where: str) -> tuple[Role | None, bool]:
    """Role and loss flag of a segment."""
    role, loss = entry.get("role"), entry.get("loss", True)
    if role is not None and role not in ROLES:
        raise DocumentError(f"{where}.role: expected one of {list(ROLES)} or null, got {short(role)}")
    if not isinstance(loss, bool):
        raise DocumentError(f"{where}.loss: expected true or false, got {short(loss)}")
    return role, loss


def check_declared(entry: Mapping[str, Any], found: Mapping[str, int], where: str, part: str) -> None:
    """Raise ``DocumentError`` where the JSON says another size than the file ``part`` has."""
    for name, value in found.items():
        if name in entry and entry[name] != value:
            message = f"{where}.{name}: the JSON says {short(entry[name])}, the file has {value}"
            raise DocumentError(message, part=part, kind="decode")


def got(entry: Mapping[str, Any], name: str) -> str:
    """What the field holds, for a message."""
    return short(entry[name]) if name in entry else "nothing"


def short(value: Any) -> str:
    """The value as JSON shows it, cut to what fits into a message."""
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
