"""The config of each ``omni fit`` of a study: written as one file, checked as ``omni fit`` would, and sized."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from omni.ablation.budget import Sized
from omni.ablation.expand import Part, Run
from omni.ablation.mapping import with_keys
from omni.ablation.study import Study
from omni.checkpoint import config_from_dict
from omni.cli.ablate.census import count_data
from omni.cli.ablate.data_stage import Places, stated_census, vocabulary_at
from omni.datamodules.stream.plan_config import PlanConfig
from omni.planning.source import read_source

VALIDATIONS = 8
"""Of a run, and so many checkpoints."""


class PartConfigs:
    """What the parts of a study's runs are trained with, and what that costs."""

    def __init__(self, study: Study, places: Places, folder: Path) -> None:
        """``folder`` takes a file for each part; files there are replaced."""
        self.study, self.places, self.folder = study, places, folder
        self._sized: dict[int, Sized] = {}
        self._vocabulary = vocabulary_at(places)

    def sized(self, part: Part) -> Sized:
        """Sizes of the part's model and data.

        Raises:
            ValueError: the config is not one that ``omni fit`` takes; the message says what it said.
        """
        if id(part) not in self._sized:
            self._sized[id(part)] = self._size(part)
        return self._sized[id(part)]

    def _size(self, part: Part) -> Sized:
        config = with_data(part, self.places)
        path = self.folder / f"part-{len(self._sized)}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        full = checked(path, str(self.study.source))
        plan = config_from_dict(PlanConfig, full["data"]["plan"], "data.plan")
        if self.places.ready_for(part.name):
            census = count_data(full)
        else:
            census = stated_census(self.study.data, census_name(part), str(self.study.source))
        return Sized(read_source(path).config, self._vocabulary, census, plan.row_length, plan.global_rows)


def census_name(part: Part) -> str:
    """Under what ``data.census`` has what a part learns from: positions depend on the layout of audio codes."""
    network = (part.config.get("model") or {}).get("network") or {}
    layout = (network.get("audio") or {}).get("layout", "frame")
    return (part.name or "all") + ("" if layout == "frame" else f"-{layout}")


def with_data(part: Part, places: Places) -> dict[str, Any]:
    """The part's config on the study's data; a stage of a cascade has its own, and none is held out for it."""
    own = places.stages / part.name if part.name and places.stages is not None else None
    keys = {
        "data.tokenizers": str(places.tokenizers),
        "data.train": str(own or places.train),
        "data.val": None if own is not None else str(places.heldout),
    }
    return with_keys(part.config, keys, part.name or "config")


def checked(path: Path, where: str) -> dict[str, Any]:
    """The whole config of a file, defaults included.

    Raises:
        ValueError: ``omni fit`` doesn't take it; the message begins with ``where`` and says which key.
    """
    from omni.cli.lightning_cli import OmniCLI

    said, refused = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(refused):
            OmniCLI.from_arguments(["fit", "--config", str(path), "--print_config"])
    except SystemExit as left:
        if left.code not in (0, None):
            lines = (
                refused.getvalue().replace("omni fit: error: ", "").replace(str(path), "config").splitlines()
            )
            message = "\n".join(line for line in lines if "--help" not in line).strip()
            raise ValueError(f"{where}: a variant's config is refused: {message}") from None
    found = yaml.safe_load(said.getvalue())
    assert isinstance(found, dict), f"{path}: no config was printed"
    return found


def fit_config(config: Mapping[str, Any], run: Run, steps: int, folder: Path) -> dict[str, Any]:
    """The config of one ``omni fit`` of a run that leaves everything in ``folder``."""
    trainer = config.get("trainer") or {}
    every = max(1, steps // VALIDATIONS)
    order = {"class_path": "omni.callbacks.order.OrderLog", "init_args": {"file": str(folder / "order.csv")}}
    keys = {
        "seed_everything": run.seed,
        "trainer.default_root_dir": str(folder),
        "trainer.max_steps": steps,
        "trainer.val_check_interval": every * (trainer.get("accumulate_grad_batches") or 1),
        "trainer.check_val_every_n_epoch": None,
        "trainer.num_sanity_val_steps": 0,
        "trainer.enable_progress_bar": False,
        "trainer.callbacks": [*(trainer.get("callbacks") or []), order],
        "checkpoint.every_n_train_steps": every,
    }
    return with_keys(config, keys, run.name)
