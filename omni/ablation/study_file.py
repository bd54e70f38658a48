"""Reads a study's YAML file; what is wrong in it is said with the file, the key, the value and what would do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from omni.ablation.mapping import check_known, nearest, with_keys
from omni.ablation.study import (
    MATCHES,
    Budget,
    Data,
    DemoData,
    Machine,
    Measure,
    Size,
    Stage,
    Study,
    Variant,
)
from omni.ablation.values import NUMBERS, mapping, typed, typed_fields
from omni.planning.yaml_file import read_mapping

KEYS = (
    *("name", "question", "config", "set", "variants", "sweep", "baseline", "seeds", "sizes", "budget"),
    *("data", "measure", "machine"),
)
_UNSAFE = re.compile(r"[^A-Za-z0-9.=_,+-]+")


def read_study(path: Path, changes: Mapping[str, Any] | None = None) -> Study:
    """The study in ``path``, with the values of ``changes`` by dotted key in place of its own.

    Raises:
        ValueError: the file, a key or a value can't be used; the message names them.
    """
    values = with_keys(read_mapping(path), changes or {}, str(path))
    where = str(path)
    check_known(values, KEYS, where)
    for key in ("config", "data", "budget"):
        if key not in values:
            raise ValueError(f"{where}: {key} is missing")
    variants = _variants(values, path)
    names = [variant.name for variant in variants]
    return Study(
        name=typed(values.get("name", path.stem), str, f"{where}: name"),
        question=typed(values.get("question", ""), str, f"{where}: question"),
        config=_beside(path, values["config"], f"{where}: config"),
        set=mapping(values.get("set") or {}, f"{where}: set"),
        variants=variants,
        baseline=nearest(str(values.get("baseline", names[0])), names, f"{where}: baseline"),
        seeds=_seeds(values.get("seeds", [0]), f"{where}: seeds"),
        sizes=_sizes(values.get("sizes"), f"{where}: sizes"),
        budget=_budget(values["budget"], f"{where}: budget"),
        data=_data(values["data"], path),
        measure=typed_fields(Measure, values.get("measure") or {}, f"{where}: measure"),
        machine=typed_fields(Machine, values.get("machine") or {}, f"{where}: machine"),
        source=path,
    )


def parse_changes(pairs: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` as dotted keys and values; a value is YAML.

    Raises:
        ValueError: no ``=``, or not YAML.
    """
    changes = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ValueError(f"--set {pair}: expected KEY=VALUE, such as --set budget.steps=100")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--set {pair}: the value is not YAML: {error}") from None
    return changes


def safe_name(name: str) -> str:
    """A name that can be one of a folder."""
    return _UNSAFE.sub("-", name).strip("-")


def _variants(values: Mapping[str, Any], path: Path) -> tuple[Variant, ...]:
    """The variants of the file, each with every combination of the swept keys."""
    given = values.get("variants")
    swept = mapping(values.get("sweep") or {}, f"{path}: sweep")
    if given is None and not swept:
        raise ValueError(
            f"{path}: give variants (a mapping by name) or sweep (config keys with lists of values)"
        )
    named = mapping({"": {}} if given is None else given, f"{path}: variants")
    if not named:
        raise ValueError(f"{path}: variants is empty")
    for key, listed in swept.items():
        if not isinstance(listed, list) or not listed:
            raise ValueError(f"{path}: sweep.{key} must be a list of values, got {listed!r:.60}")
    found = []
    for name, entry in named.items():
        variant = _variant(str(name), entry or {}, path)
        for combination in product(*swept.values()):
            keys = dict(zip(swept, combination, strict=True))
            parts = [f"{key.rpartition('.')[2]}={value}" for key, value in keys.items()]
            full = safe_name(",".join([*([str(name)] if name else []), *parts]))
            if not full:
                raise ValueError(f"{path}: a variant needs a name of letters or digits, got {name!r}")
            found.append(
                Variant(
                    name=full,
                    config=variant.config,
                    set={**variant.set, **keys},
                    about=variant.about,
                    stages=variant.stages,
                )
            )
    names = [variant.name for variant in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: more than one variant is called {', '.join(twice)}")
    return tuple(found)


def _variant(name: str, entry: Any, path: Path) -> Variant:
    where = f"{path}: variants.{name}"
    values = mapping(entry, where)
    check_known(values, ("config", "set", "about", "stages"), where)
    stages = tuple(
        _stage(str(stage), one or {}, path, f"{where}.stages.{stage}")
        for stage, one in mapping(values.get("stages") or {}, f"{where}.stages").items()
    )
    if stages and abs(sum(stage.share for stage in stages) - 1) > 1e-6:
        shares = " + ".join(f"{stage.share:g}" for stage in stages)
        raise ValueError(f"{where}.stages: shares must sum to 1, got {shares}")
    return Variant(
        name=name,
        config=_optional_path(path, values.get("config"), f"{where}.config"),
        set=mapping(values.get("set") or {}, f"{where}.set"),
        about=typed(values.get("about", ""), str, f"{where}.about"),
        stages=stages,
    )


def _stage(name: str, entry: Any, path: Path, where: str) -> Stage:
    values = mapping(entry, where)
    check_known(values, ("share", "config", "set"), where)
    share = typed(values.get("share"), NUMBERS, f"{where}.share")
    if not 0 < share <= 1:
        raise ValueError(f"{where}.share must be in (0, 1], got {share}")
    return Stage(
        name=name,
        share=float(share),
        config=_optional_path(path, values.get("config"), f"{where}.config"),
        set=mapping(values.get("set") or {}, f"{where}.set"),
    )


def _seeds(values: Any, where: str) -> tuple[int, ...]:
    if (
        not isinstance(values, list)
        or not values
        or not all(type(seed) is int and seed >= 0 for seed in values)
    ):
        raise ValueError(
            f"{where} must be a list of whole numbers from 0, such as [0, 1, 2], got {values!r:.60}"
        )
    if len(set(values)) != len(values):
        raise ValueError(f"{where} must differ, got {values}")
    return tuple(values)


def _sizes(values: Any, where: str) -> tuple[Size, ...]:
    if values is None:
        return (Size(name=""),)
    sizes = []
    for name, entry in mapping(values, where).items():
        one = mapping(entry or {}, f"{where}.{name}")
        check_known(one, ("set", "steps"), f"{where}.{name}")
        steps = one.get("steps")
        if steps is not None and (type(steps) is not int or steps < 1):
            raise ValueError(f"{where}.{name}.steps must be a whole number from 1, got {steps!r}")
        keys = mapping(one.get("set") or {}, f"{where}.{name}.set")
        sizes.append(Size(name=safe_name(str(name)), set=keys, steps=steps))
    if not sizes:
        raise ValueError(f"{where} is empty: leave it out, or name a size")
    return tuple(sizes)


def _budget(values: Any, where: str) -> Budget:
    nearest(str(mapping(values, where).get("match", MATCHES[0])), MATCHES, f"{where}.match")
    budget = typed_fields(Budget, values, where)
    given = [name for name in ("steps", "flops", "tokens") if getattr(budget, name) is not None]
    if len(given) != 1:
        said = ", ".join(given) or "none"
        raise ValueError(
            f"{where}: give the amount once, as steps (of the baseline), flops or tokens; got {said}"
        )
    if not getattr(budget, given[0]) > 0:
        raise ValueError(f"{where}.{given[0]} must be positive, got {getattr(budget, given[0])}")
    if budget.flops is not None and budget.match != "flops":
        raise ValueError(f"{where}.flops goes with match: flops, got match: {budget.match}")
    if budget.tolerance < 0:
        raise ValueError(f"{where}.tolerance must not be negative, got {budget.tolerance}")
    return budget


def _data(values: Any, path: Path) -> Data:
    where = f"{path}: data"
    given = mapping(values, where)
    check_known(given, [field.name for field in fields(Data)], where)
    demo = None
    if "demo" in given:
        settings = dict(mapping(given["demo"] or {}, f"{where}.demo"))
        if settings.get("speech") is not None:
            settings["speech"] = Path(str(settings["speech"]))
        demo = typed_fields(DemoData, settings, f"{where}.demo")
    folders = ("tokenizers", "train", "heldout")
    named = [name for name in folders if given.get(name) is not None]
    if (demo is None) == (not named) or (named and len(named) < len(folders)):
        raise ValueError(
            f"{where}: give either demo (the study makes the data) or all of {', '.join(folders)}; "
            f"got {', '.join(given) or 'nothing'}"
        )
    with_demo = [name for name in ("judges", "stages") if demo is not None and given.get(name)]
    without = [name for name in ("folder", "census") if demo is None and given.get(name)]
    if with_demo or without:
        rule = "the demo's stage makes its own" if with_demo else "it goes with data.demo"
        raise ValueError(f"{where}.{(with_demo + without)[0]} must be left out: {rule}")
    paths = {
        name: Path(str(given[name])) for name in (*named, "judges", "stages", "folder") if given.get(name)
    }
    census = given.get("census")
    return Data(demo=demo, census=None if census is None else mapping(census, f"{where}.census"), **paths)


def _beside(path: Path, value: Any, where: str) -> Path:
    """A path that is relative to the study's file."""
    return path.parent / str(typed(value, str, where))


def _optional_path(path: Path, value: Any, where: str) -> Path | None:
    return None if value is None else _beside(path, value, where)
