"""English prose and Python code that come with Python: its documentation topics, its standard library."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omni.datamodules.demo.split import Split

MIN_CHARS, MAX_CHARS = 100, 600
"""Of a passage; what would be shorter is left out."""
HELDOUT_SHARE = 0.1
"""Of the characters, at most."""
MODULES = (
    *("argparse", "ast", "calendar", "cmd", "configparser", "contextlib", "copy", "csv", "dataclasses"),
    *("difflib", "enum", "fractions", "functools", "glob", "heapq", "html.parser", "inspect", "json.decoder"),
    *("mailbox", "os", "random", "shlex", "shutil", "statistics", "string", "textwrap", "timeit", "tokenize"),
    *("traceback", "typing", "uuid", "weakref"),
)
"""Standard-library modules that the code is taken from, where this Python has them."""

_SHORT = 60  # characters; a paragraph as short as "See also:" may well occur twice


@dataclass(frozen=True)
class Passage:
    """A few paragraphs of running text."""

    text: str
    origin: str
    """The topic or module it is from."""


def prose_passages(seed: int) -> Split[Passage]:
    """The documentation topics, about a tenth of the text held out.

    Topics repeat each other: of paragraphs that occur twice one is kept, the held-out one where there is one.
    """
    from pydoc_data.topics import topics

    return _split(topics, seed)


def code_passages(seed: int) -> Split[Passage]:
    """The source of ``MODULES``, about a tenth of the text held out.

    Raises:
        ValueError: this Python came without the source of its standard library.
    """
    sources = {name: path.read_text("utf-8") for name in MODULES if (path := _source_file(name)) is not None}
    if len(sources) < 2:
        raise ValueError(
            f"{sysconfig.get_path('stdlib')}: no source of the standard library, expected {MODULES[0]}.py"
        )
    return _split(sources, seed)


def _source_file(module: str) -> Path | None:
    library = Path(sysconfig.get_path("stdlib"))
    path = library / f"{module.replace('.', '/')}.py"
    for candidate in (path, path.with_suffix("") / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _split(texts: Mapping[str, str], seed: int) -> Split[Passage]:
    names = sorted(texts)
    left = HELDOUT_SHARE * sum(map(len, texts.values()))
    heldout: set[str] = set()
    for i in np.random.default_rng([seed, len(names)]).permutation(len(names)):
        if len(texts[names[i]]) <= left:
            heldout.add(names[i])
            left -= len(texts[names[i]])
    seen: set[str] = set()  # held-out texts come first: what they say is no training text
    heldout_first = sorted(names, key=lambda name: name not in heldout)
    passages = {
        name: [p for p in _passages(texts[name], name, seen) if len(p.text) >= MIN_CHARS]
        for name in heldout_first
    }
    return Split(
        train=tuple(p for name in names if name not in heldout for p in passages[name]),
        heldout=tuple(p for name in names if name in heldout for p in passages[name]),
    )


def _passages(text: str, origin: str, seen: set[str]) -> Iterable[Passage]:
    """Join the paragraphs that aren't in ``seen`` up to ``MAX_CHARS``, and add them to ``seen``."""
    passage = ""
    for paragraph in _paragraphs(text):
        normal = " ".join(paragraph.split())
        if normal in seen:
            continue
        if len(normal) >= _SHORT:
            seen.add(normal)
        if passage and len(passage) + 2 + len(paragraph) > MAX_CHARS:
            yield Passage(passage, origin)
            passage = ""
        passage = f"{passage}\n\n{paragraph}" if passage else paragraph
    if passage:
        yield Passage(passage, origin)


def _paragraphs(text: str) -> Iterable[str]:
    """The parts between empty lines; one that is longer than ``MAX_CHARS`` is split between its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        part = ""
        for line in paragraph.rstrip().split("\n"):
            if part and len(part) + 1 + len(line) > MAX_CHARS:
                yield part
                part = ""
            part = f"{part}\n{line[:MAX_CHARS]}" if part else line[:MAX_CHARS]
        if part.strip():
            yield part
