"""Counts what a config's training data hold, as its layout lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from omni.ablation.census import Census
from omni.checkpoint import config_from_dict
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.measure import measure
from omni.datamodules.stream.plan_config import PlanConfig
from omni.modality import MODALITIES
from omni.spans import count_spans

_counted: dict[str, Census] = {}


def count_data(data: Mapping[str, Any]) -> Census:
    """The census of ``data`` of a config of ``omni fit``: of every document of ``data.train``, and how full rows are.

    Raises:
        ValueError, DocumentError: as the data module, for settings or shards that can't be used.
    """
    known = json.dumps(
        {key: data.get(key) for key in ("tokenizers", "train", "plan", "measure")}, default=str
    )
    if known not in _counted:
        _counted[known] = _count(data)
    return _counted[known]


def _count(data: Mapping[str, Any]) -> Census:
    plan = config_from_dict(PlanConfig, data.get("plan") or {}, "data.plan")
    module = OmniDataModule(
        str(data["tokenizers"]), data["train"], None, plan, measure=bool(data.get("measure"))
    )
    module.setup("fit")
    positions, targets, lengths = [], [], []
    for folder in module.folders.values():
        of_folder = _of_folder(folder.store.reader, module)
        fits = of_folder[0].sum(1) <= plan.row_length
        positions.append(of_folder[0][fits])
        targets.append(of_folder[1][fits])
        lengths.append(of_folder[0][fits].sum(1))
    positions_DM, targets_DM = np.concatenate(positions), np.concatenate(targets)
    length_D = np.concatenate(lengths).astype(np.int64)
    return Census(
        documents=len(length_D),
        positions={m.name: int(positions_DM[:, m.id].sum()) for m in MODALITIES},
        targets={m.name: int(targets_DM[:, m.id].sum()) for m in MODALITIES},
        squares=int(np.square(length_D).sum()),
        fill=round(float(module.train_dataloader().plan.fill()), 4),
    )


def _of_folder(reader: ShardReader, module: OmniDataModule) -> tuple[np.ndarray, np.ndarray]:
    """Positions and targets by document and modality, from the indexes or measured now."""
    layout = module.layout
    if all(index.layout == layout.fingerprint for index in reader.indexes):
        parts = [index.read_lengths(0, len(index)) for index in reader.indexes]
        return np.concatenate([p for p, _ in parts]), np.concatenate([t for _, t in parts])
    found = [count_spans(spans) for spans in measure(reader, layout, 0, lambda number, error: None)]
    return np.stack([p for p, _ in found]), np.stack([t for _, t in found])
