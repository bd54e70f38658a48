"""Counts what a config's training data hold, as its layout lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt32

from omni.ablation.census import Census
from omni.checkpoint import config_from_dict
from omni.code_layout import LayoutName
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.measure import measure
from omni.datamodules.stream.plan_config import PlanConfig
from omni.modality import AUDIO, IMAGE, MODALITIES, Modality
from omni.spans import count_spans, span_lengths

_counted: dict[str, Census] = {}


def count_data(config: Mapping[str, Any]) -> Census:
    """The census of a whole config of ``omni fit``: of every document of ``data.train``, and how full rows are.

    Raises:
        ValueError, DocumentError: as the data module, for settings or shards that can't be used.
    """
    data = {key: config["data"].get(key) for key in ("tokenizers", "train", "plan", "measure")}
    layout = config["model"]["network"]["audio"]["layout"]
    known = json.dumps([data, layout], default=str)
    if known not in _counted:
        _counted[known] = _count(data, layout)
    return _counted[known]


def _count(data: Mapping[str, Any], layout: LayoutName) -> Census:
    plan = config_from_dict(PlanConfig, data.get("plan") or {}, "data.plan")
    module = OmniDataModule(
        str(data["tokenizers"]), data["train"], None, plan, measure=bool(data["measure"]), audio_layout=layout
    )
    module.setup("fit")
    spans = [one for folder in module.folders.values() for one in _spans(folder.store.reader, module)]
    kept = [one for one in spans if 0 < span_lengths(one).sum() <= plan.row_length]
    positions_DM, targets_DM = (np.stack(part) for part in zip(*map(count_spans, kept), strict=True))
    length_D = positions_DM.sum(1).astype(np.int64)
    together = np.concatenate(kept)
    return Census(
        documents=len(kept),
        positions={m.name: int(positions_DM[:, m.id].sum()) for m in MODALITIES},
        targets={m.name: int(targets_DM[:, m.id].sum()) for m in MODALITIES},
        squares=int(np.square(length_D).sum()),
        picture=_clip_length(together, IMAGE),
        clip=_clip_length(together, AUDIO),
        fill=round(float(module.train_dataloader().plan.fill()), 4),
    )


def _spans(reader: ShardReader, module: OmniDataModule) -> list[UInt32[np.ndarray, " _"]]:
    """Spans of every document, from the indexes or measured now."""
    layout = module.layout
    if any(index.layout != layout.fingerprint for index in reader.indexes):
        return measure(reader, layout, 0, lambda number, error: None)
    return [index.spans(row) for index in reader.indexes for row in range(len(index))]


def _clip_length(spans: UInt32[np.ndarray, " spans"], modality: Modality) -> int:
    """Mean over the positions of clips (markers included) of the length of their own."""
    lengths = span_lengths(spans[spans & 3 == modality.id])
    return max(1, round(float(np.square(lengths).sum() / lengths.sum()))) if len(lengths) else 1
