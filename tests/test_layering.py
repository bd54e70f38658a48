"""Who may import whom, read off the source: one-way layers, no cycles, no hidden packages.

A new module under ``omni/`` must be in the table below, with what it may import; the test says so by name.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OMNI = ROOT / "omni"

BASE = ("modality", "sequence", "media")
FORMAT = (*BASE, "choice", "preference", "spans", "code_layout", "tokenizers", "layout")
NETWORK = ("modality", "sequence", "code_layout", "nn", "model")
USE = (*FORMAT, "nn", "model", "losses", "optim", "snapshot", "export", "checkpoint")
LEARNING = (*USE, "inference", "evaluation", "training")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "modality": (),
    "media": (),
    "sequence": ("modality", "media"),
    "choice": ("modality", "sequence"),
    "preference": ("modality", "sequence"),
    # the data branch
    "tokenizers": BASE,
    "spans": ("modality",),
    "code_layout": (),
    "layout": (*BASE, "spans", "code_layout", "tokenizers"),
    "datamodules": FORMAT,
    # the model branch
    "nn": ("modality", "sequence", "code_layout"),
    "model": ("modality", "sequence", "code_layout", "nn"),
    "losses": NETWORK,
    "optim": NETWORK,
    "export": (*FORMAT, "nn", "model"),
    "snapshot": (),
    "checkpoint": (*FORMAT, "nn", "model", "snapshot", "export"),
    "inference": USE,
    "evaluation": (*USE, "inference"),
    "training": (*USE, "inference", "evaluation"),
    "parallel": LEARNING,
    "callbacks": (*LEARNING, "parallel"),
    "baselines": (*LEARNING, "parallel", "callbacks"),
    "planning": (*LEARNING, "parallel", "callbacks"),
    "ablation": (*LEARNING, "parallel", "callbacks", "baselines", "planning"),
    "serve": (*LEARNING, "parallel", "callbacks"),
}
"""Layer (first name below ``omni``): the other layers that it may import."""

ANYTHING = {"cli", "__main__"}
"""Layers that may import every other; none may import them."""

DATA_ONLY = {"datamodules"}
MODEL_ONLY = set(MAY_IMPORT) - {*FORMAT, "datamodules"}


@dataclass(frozen=True)
class Import:
    """One import of a module of ours."""

    importer: str
    imported: str
    line: int


def module_name(path: Path) -> str:
    """``omni/nn/moe.py`` as ``omni.nn.moe``, ``omni/nn/__init__.py`` as ``omni.nn``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def sources() -> dict[str, Path]:
    """Module name to file, the two linked folders under the name they are imported by."""
    folders = [OMNI, *(folder for folder in OMNI.iterdir() if folder.is_symlink())]
    paths = {path for folder in folders for path in folder.rglob("*.py")}
    return {module_name(path): path for path in sorted(paths)}


def imports_in(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """Dotted names that a module imports anywhere, with their lines; ``a.b`` for ``from a import b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = resolve_name(relative, package)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def our_imports(source: str, importer: str, package: str, modules: set[str]) -> list[Import]:
    """The imports that name a module of ours, each by the longest name that is one."""
    found = []
    for name, line in imports_in(ast.parse(source), package):
        if name != "omni" and not name.startswith("omni."):
            continue
        while name not in modules and "." in name:
            name = name.rpartition(".")[0]
        if name not in ("omni", importer):
            found.append(Import(importer, name, line))
    return found


@cache
def all_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for module, path in sources().items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found += our_imports(path.read_text(encoding="utf-8"), module, package, set(sources()))
    return tuple(found)


def forbidden(imports: tuple[Import, ...]) -> list[tuple[Import, str]]:
    """Imports that the table does not allow, each with the reason."""
    found = []
    for one in imports:
        source, target = layer_of(one.importer), layer_of(one.imported)
        if source == target or source in ANYTHING or target in MAY_IMPORT.get(source, ()):
            continue
        if {source, target} & DATA_ONLY and {source, target} & MODEL_ONLY:
            reason = "data code and model code don't know each other; only omni.cli puts them together"
        else:
            reason = f"{source} may import {', '.join(MAY_IMPORT.get(source, ())) or 'nothing of omni'}"
        found.append((one, reason))
    return found


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The names along one cycle, first and last the same; empty where there is none."""
    done: set[str] = set()

    def search(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            for following in sorted(graph.get(name, ())):
                if found := search(following, [*trail, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := search(name, []))), [])


def place(one: Import) -> str:
    return f"{sources()[one.importer].relative_to(ROOT)}:{one.line}: imports {one.imported}"


def test_every_module_has_a_layer() -> None:
    unknown = {module for module in sources() if layer_of(module) not in {"", *MAY_IMPORT, *ANYTHING}}
    assert not unknown, f"{sorted(unknown)}: add the layer and what it may import to MAY_IMPORT in {__file__}"


def test_layers_import_to_the_left_only() -> None:
    found = [f"{place(one)}; {reason}" for one, reason in forbidden(all_imports())]
    assert not found, "\n".join(["imports against the layers:", *found])


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for one in all_imports():
        graph.setdefault(one.importer, set()).add(one.imported)
    cycle = cycle_in(graph)
    assert not cycle, "import cycle: " + " -> ".join(cycle)


def test_the_table_itself_runs_one_way() -> None:
    cycle = cycle_in({layer: set(allowed) for layer, allowed in MAY_IMPORT.items()})
    assert not cycle, "layers in a circle: " + " -> ".join(cycle)
    for layer, allowed in MAY_IMPORT.items():
        assert not ({layer, *allowed} & DATA_ONLY and {layer, *allowed} & MODEL_ONLY), layer


def test_init_files_hold_nothing_but_a_docstring() -> None:
    for path in sources().values():
        if path.name == "__init__.py":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            rest = body[1:] if ast.get_docstring(ast.Module(body, [])) is not None else body
            assert not rest, (
                f"{path.relative_to(ROOT)}:{rest[0].lineno}: import deep names instead of collecting"
            )


@pytest.mark.parametrize("folder", ["tokenizers", "datamodules"])
def test_linked_folders_are_no_packages_of_their_own(folder: str) -> None:
    assert (OMNI / folder).readlink() == Path("..") / folder
    init = ROOT / folder / "__init__.py"
    assert not init.exists(), (
        f"{init} hides the package of that name on PyPI from all that runs here; delete it"
    )


def test_packages_of_the_same_name_are_importable_from_the_root() -> None:
    command = "import tokenizers; tokenizers.Encoding; import lightning"
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr


def test_no_file_is_named_after_a_standard_module() -> None:
    named = {
        name: module
        for module in sources()
        for name in module.split(".")
        if name in sys.stdlib_module_names and not name.startswith("__")
    }
    assert not named, (
        f"{named}: a script started beside such a file imports it instead of the standard library"
    )


MODULES = {"omni", "omni.model", "omni.nn.moe", "omni.nn", "omni.datamodules.packing", "omni.losses"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import omni.model", [("omni.model", 1)]),
        ("import numpy, omni.nn.moe as moe", [("omni.nn.moe", 1)]),
        ("from omni.nn.moe import Router", [("omni.nn.moe", 1)]),
        ("from omni import model", [("omni.model", 1)]),
        ("\ndef f():\n    from omni.nn import moe", [("omni.nn.moe", 3)]),
        ("from . import moe", [("omni.nn.moe", 1)]),
        ("from ..losses import total", [("omni.losses", 1)]),
        ("from .. import model, losses", [("omni.model", 1), ("omni.losses", 1)]),
        ("import omnivore, numpy", []),
    ],
)
def test_imports_are_read_off_the_source(source: str, expected: list[tuple[str, int]]) -> None:
    found = our_imports(source, "omni.nn.norm", "omni.nn", MODULES)
    assert [(one.imported, one.line) for one in found] == expected


@pytest.mark.parametrize(
    ("importer", "imported", "reason"),
    [
        ("omni.model", "omni.datamodules.packing", "data code and model code don't know each other"),
        ("omni.datamodules.packing", "omni.model", "data code and model code don't know each other"),
        ("omni.nn.moe", "omni.model", "nn may import modality, sequence, code_layout"),
        ("omni.losses", "omni.cli.main", "losses may import modality"),
        ("omni.modality", "omni.sequence", "modality may import nothing of omni"),
    ],
)
def test_imports_against_the_layers_are_found(importer: str, imported: str, reason: str) -> None:
    ((_, said),) = forbidden((Import(importer, imported, 1),))
    assert said.startswith(reason)


def test_cycles_are_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}}) == []
