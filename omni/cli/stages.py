"""The stages of training that ``omni fit`` knows: which module learns, and what data it reads."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.pair_datamodule import PairDataModule
from omni.training.dpo import Dpo
from omni.training.pretrain import Pretrain
from omni.training.reward import RewardTraining

StageName = Literal["pretrain", "reward", "dpo"]
FLAG = "--stage"


class Stage(NamedTuple):
    """One stage."""

    module: type[Pretrain]
    data: type[OmniDataModule]


STAGES: dict[str, Stage] = {
    "pretrain": Stage(Pretrain, OmniDataModule),
    "reward": Stage(RewardTraining, PairDataModule),
    "dpo": Stage(Dpo, PairDataModule),
}
"""By the value of the key ``stage``. Supervised fine-tuning is ``pretrain`` on other data."""


def stage_of(arguments: Seq[str]) -> Stage:
    """The stage that the arguments of ``omni fit`` name: by ``--stage``, or by ``stage`` in a config; the last counts.

    Raises:
        ValueError: no such stage.
    """
    name = "pretrain"
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        flag, equals, joined = option.partition("=")
        given = joined if equals else value
        if flag == FLAG:
            name = given
        elif flag in ("--config", "-c"):
            name = _named_in(Path(given)) or name
    if name not in STAGES:
        raise ValueError(f"stage {name!r}: expected one of {', '.join(STAGES)}")
    return STAGES[name]


def _named_in(config: Path) -> str | None:
    """The parser says what is wrong with a file that can't be read."""
    try:
        found = yaml.safe_load(config.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    stage = found.get("stage") if isinstance(found, dict) else None
    return None if stage is None else str(stage)
