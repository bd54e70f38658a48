"""Configs as plain mappings: values under dotted keys, files inside files, and errors that name the key."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omni.planning.yaml_file import read_mapping

PARTS = ("model", "model.network", "data")
"""Keys whose value may be the path of a YAML file, relative to the file that it stands in."""


def read_config(path: Path) -> dict[str, Any]:
    """A config of ``omni fit`` with the files that it names in place of their paths.

    Raises:
        ValueError: as of ``read_mapping``, for any of the files.
    """
    config = read_mapping(path)
    for key in PARTS:
        *way, last = key.split(".")
        at: Any = config
        for step in way:
            at = at.get(step) if isinstance(at, dict) else None
        value = at.get(last) if isinstance(at, dict) else None
        if isinstance(value, str) and value.endswith((".yaml", ".yml")):
            at[last] = read_mapping(path.parent / value)
    return config


def with_keys(config: Mapping[str, Any], keys: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A copy with the values of dotted keys put in; a mapping as a value replaces what was there.

    Raises:
        ValueError: a key goes through something that is no mapping; the message begins with ``where``.
    """
    changed = copy.deepcopy(dict(config))
    for key, value in keys.items():
        *way, last = key.split(".")
        at: Any = changed
        for step in way:
            if at.get(step) is None:
                at[step] = {}
            at = at[step]
            if not isinstance(at, dict):
                raise ValueError(
                    f"{where}: key {key!r} goes through {step!r}, which is {at!r:.60}, no mapping"
                )
        at[last] = copy.deepcopy(value)
    return changed


def check_known(values: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """
    Raises:
        ValueError: a key that isn't one of ``known``; the message names it, the nearest and all there are.
    """
    names = list(known)
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: unknown key {str(key)!r}{hint} (expected some of {', '.join(names)})")


def nearest(asked: str, names: Iterable[str], where: str) -> str:
    """``asked``, where it is one of ``names``.

    Raises:
        ValueError: it isn't; the message names the nearest and all there are.
    """
    known = list(names)
    if asked in known:
        return asked
    near = difflib.get_close_matches(asked, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{where}: got {asked!r}, expected one of {', '.join(known)}{hint}")
