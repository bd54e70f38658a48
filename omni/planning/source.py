"""What a YAML file says about a run that is planned: a model config, or an experiment that names one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from omni.nn.config import ModelConfig
from omni.planning.yaml_file import read_mapping

EXPECTED = "keys of a model config or an experiment"


@dataclass(frozen=True)
class Source:
    """The config, and what an experiment says beside it."""

    config: ModelConfig
    workload: dict[str, int] = field(default_factory=dict)
    """Fields of ``Workload`` that the experiment fixes."""
    tokenizers: Path | None = None
    """Folder that the experiment names; it need not be there yet."""


def read_source(path: Path) -> Source:
    """The model config or experiment in ``path``.

    Raises:
        ValueError: no such file, not YAML, or keys or values that a model config doesn't have; the message
            names the file and the key.
    """
    values = read_mapping(path, EXPECTED)
    if "model" not in values:
        return Source(_typed(values, path))
    network = _part(values["model"], "network", path)
    config = _typed(network[0], network[1])
    data, _ = _part(values, "data", path) if "data" in values else ({}, path)
    trainer = values.get("trainer") or {}
    found = {
        "length": (data.get("plan") or {}).get("row_length"),
        "rows": data.get("batch_rows"),
        "accumulate": trainer.get("accumulate_grad_batches"),
    }
    tokenizers = data.get("tokenizers")
    return Source(
        config,
        {name: value for name, value in found.items() if value is not None},
        Path(tokenizers) if tokenizers else None,
    )


def _part(values: Any, key: str, path: Path) -> tuple[dict[str, Any], Path]:
    """The mapping under ``key``, which may be written in a file of its own; and the file it stands in."""
    part = values.get(key) if isinstance(values, dict) else None
    if isinstance(part, str):
        return read_mapping(path.parent / part, EXPECTED), path.parent / part
    if not isinstance(part, dict):
        raise ValueError(f"{path}: {key} must be a mapping or the path of a YAML file, got {part!r}")
    return part, path


def _typed(values: dict[str, Any], path: Path) -> ModelConfig:
    """The config, with keys and types checked."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ModelConfig, "network")
    try:
        return parser.instantiate_classes(parser.parse_object({"network": values})).network
    except Exception as error:  # jsonargparse raises its own kinds for a wrong key, type or constraint
        raise ValueError(f"{path}: {error}") from None
