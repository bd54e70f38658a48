"""From a study to its runs: every variant at every size with every seed, each with the configs that it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omni.ablation.mapping import PARTS, read_config, with_keys
from omni.ablation.study import Size, Study, Variant
from omni.planning.yaml_file import read_mapping

RESERVED = {
    "seed_everything": "seeds",
    "trainer.default_root_dir": "the option --out",
    "data.tokenizers": "data.tokenizers of the study",
    "data.train": "data.train of the study",
    "data.val": "data.heldout of the study",
}
"""Config keys that the study sets itself, and where to say it instead."""


@dataclass(frozen=True)
class Part:
    """What one ``omni fit`` of a run trains."""

    name: str
    """Of the stage; empty where the run is one model."""
    share: float
    """Of the run's budget."""
    config: Mapping[str, Any]
    """With all that variant, size and stage change; without seed, data and folders."""


@dataclass(frozen=True)
class Run:
    """One variant at one size with one seed."""

    name: str
    """That of its folder."""
    variant: Variant
    size: Size
    seed: int
    parts: tuple[Part, ...]


def runs_of(study: Study) -> list[Run]:
    """All runs, seed by seed: a study that is stopped early has whole seeds.

    Raises:
        ValueError: a config can't be read, or a variant sets what belongs to the study.
    """
    parts = {
        (size.name, variant.name): _parts(study, variant, size)
        for size in study.sizes
        for variant in study.variants
    }
    return [
        Run(_name(variant, size, seed), variant, size, seed, parts[size.name, variant.name])
        for seed in study.seeds
        for size in study.sizes
        for variant in study.variants
    ]


def _name(variant: Variant, size: Size, seed: int) -> str:
    return "-".join([variant.name, *([size.name] if size.name else []), f"seed{seed}"])


def _parts(study: Study, variant: Variant, size: Size) -> tuple[Part, ...]:
    where = f"{study.source}: variants.{variant.name}"
    _check_own(study, variant, size, where)
    base = variant.config or study.config
    if not variant.stages:
        keys = _filled({**study.set, **size.set, **variant.set}, study)
        return (Part("", 1.0, with_keys(read_config(base), keys, where)),)
    found = []
    for stage in variant.stages:
        keys = _filled({**study.set, **size.set, **variant.set, **stage.set}, study)
        found.append(Part(stage.name, stage.share, with_keys(read_config(stage.config or base), keys, where)))
    return tuple(found)


def _filled(keys: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """The keys with files in place of their paths (relative to the study), and before those that reach into them."""
    whole = {
        key: read_mapping(study.source.parent / value)
        if isinstance(value, str) and value.endswith((".yaml", ".yml"))
        else value
        for key, value in keys.items()
        if key in PARTS
    }
    return {**whole, **{key: value for key, value in keys.items() if key not in PARTS}}


def _check_own(study: Study, variant: Variant, size: Size, where: str) -> None:
    for keys in (study.set, size.set, variant.set, *(stage.set for stage in variant.stages)):
        for key in keys:
            if key in RESERVED:
                raise ValueError(f"{where}: {key} is set by the study: use {RESERVED[key]}")
