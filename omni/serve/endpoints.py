"""Remote OpenAI-compatible endpoints: from the command line, or a file that lists many.

- name: big               # what clients say as `model`
  url: https://host/v1    # where its /chat/completions is
  model: big-2026         # what the endpoint calls it; `name` by default
  key_env: BIG_KEY        # environment variable that holds its key; none by default
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One of them."""

    name: str
    """What clients call it."""
    url: str
    """Base of its paths, with ``/v1`` where it has that."""
    model: str = ""
    """What it calls the model; ``name`` by default."""
    key_env: str = ""
    """Environment variable with its key."""
    key: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        where = f"endpoint {self.name!r}"
        parts = urlsplit(self.url)
        if not self.name.strip():
            raise ValueError(f"an endpoint of {self.url} has no name")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{where}: the URL {self.url!r} must be http:// or https:// with a host")
        if self.key_env and not os.environ.get(self.key_env):
            raise ValueError(f"{where}: the environment variable {self.key_env} with its key is not set")
        object.__setattr__(self, "url", self.url.rstrip("/"))
        object.__setattr__(self, "model", self.model or self.name)
        object.__setattr__(self, "key", os.environ.get(self.key_env, "") if self.key_env else "")

    def headers(self) -> dict[str, str]:
        """What identifies us there."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def endpoint_of(option: str) -> Endpoint:
    """The endpoint of ``NAME=URL``, or ``NAME=URL#MODEL`` where it calls the model otherwise.

    Raises:
        ValueError: not of this form.
    """
    name, equals, rest = option.partition("=")
    if not equals:
        raise ValueError(f"--endpoint {option!r}: expected NAME=URL, such as big=https://host/v1")
    url, _, model = rest.partition("#")
    return Endpoint(name=name, url=url, model=model)


def read_endpoints(path: Path) -> list[Endpoint]:
    """The endpoints of a YAML or JSON file.

    Raises:
        ValueError: no such file, not a list of endpoints, or an entry with unknown or missing keys.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file of endpoints")
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no YAML or JSON ({error})") from None
    if not isinstance(listed, list):
        raise ValueError(f"{path}: expected a list of endpoints, got {type(listed).__name__}")
    return [_entry(entry, f"{path}: entry {number}") for number, entry in enumerate(listed, 1)]


def _entry(entry: Any, where: str) -> Endpoint:
    known = {one.name for one in fields(Endpoint) if one.init}
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise ValueError(f"{where}: expected texts for {sorted(known)}, got {entry!r}")
    if (unknown := sorted(set(entry) - known)) or not {"name", "url"} <= set(entry):
        raise ValueError(
            f"{where}: expected name, url, and maybe model and key_env; got {unknown or sorted(entry)}"
        )
    try:
        return Endpoint(**entry)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def distinct(names: Iterable[str]) -> None:
    """Raise ``ValueError`` for a name that comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two models are called {name!r}: give one another name, NAME=PATH or NAME=URL")
        seen.add(name)
