"""LightningCLI for this project: model, data and callbacks of a run, every value from YAML or the command line."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser
from lightning import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from omni.callbacks.checkpoint import Checkpoints
from omni.callbacks.drift import DriftAlarms
from omni.callbacks.router import RouterTelemetry
from omni.callbacks.sources import SourceTelemetry
from omni.callbacks.throughput import Throughput
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.training.pretrain import Pretrain

UNKNOWN_KEY = re.compile(r"(?:unrecognized arguments: --|does not accept option ')([\w.]+)")
"""How jsonargparse names a key that it does not know, on the command line and in a file."""


class NearestKeyParser(LightningArgumentParser):
    """Names the nearest known key when a key is not known. Keys can't be abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message with the nearest key and leave with status 2."""
        if unknown := UNKNOWN_KEY.search(message):
            asked = unknown.group(1)
            near = _nearest(asked, {action.dest for action in _all_actions(self)})
            message += f"\nNo key {asked!r}" + (f"; did you mean {near!r}?" if near else "")
        print(f"omni fit: error: {message}\n`omni fit --help` lists all keys.", file=sys.stderr)
        raise SystemExit(2)


def _nearest(asked: str, known: set[str]) -> str | None:
    """The known key most like the one asked for; by its last part where none is like the whole."""
    whole = difflib.get_close_matches(asked, known, n=1, cutoff=0.7)
    tails = {key.rpartition(".")[2]: key for key in sorted(known)}
    tail = difflib.get_close_matches(asked.rpartition(".")[2], tails, n=1)
    return whole[0] if whole else tails[tail[0]] if tail else None


def _all_actions(parser: ArgumentParser) -> list[Any]:
    """Actions of the parser and of its subcommands."""
    actions = list(parser._actions)
    for action in parser._actions:
        if isinstance(action.choices, dict):
            actions += [inner for choice in action.choices.values() for inner in choice._actions]
    return actions


class OmniCLI(LightningCLI):
    """Model, data and the callbacks of every run; what must agree is linked."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks and the links."""
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.filename": "step-{step:06d}",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.every_n_train_steps": 1000,
                "checkpoint.save_last": "link",
                "checkpoint.save_on_train_epoch_end": True,
                "checkpoint.enable_version_counter": False,
            }
        )
        parser.add_lightning_class_args(RouterTelemetry, "router_telemetry")
        parser.add_lightning_class_args(DriftAlarms, "drift_alarms")
        parser.add_lightning_class_args(SourceTelemetry, "source_telemetry")
        parser.add_lightning_class_args(Throughput, "throughput")
        parser.link_arguments("data.tokenizers", "model.tokenizers")
        parser.link_arguments("model.network.audio.layout", "data.audio_layout")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.plan.seed", compute_fn=int)
        parser.link_arguments(
            "trainer.default_root_dir",
            "checkpoint.dirpath",
            compute_fn=lambda root: str(Path(root) / "checkpoints"),
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to CSV and TensorBoard under the run's folder, unless the config names loggers."""
        config = self._get(self.config, "trainer")
        if config.enable_progress_bar is False:  # Lightning refuses a bar and this setting together
            self._leave_out(RichProgressBar)
        if config.logger is False:
            self._leave_out(LearningRateMonitor)
        if config.logger is None:
            csv = CSVLogger(config.default_root_dir, name="logs")
            kwargs["logger"] = [csv, TensorBoardLogger(config.default_root_dir, "logs", csv.version)]
        return super().instantiate_trainer(**kwargs)

    def _leave_out(self, kind: type) -> None:
        kept = [callback for callback in self.trainer_defaults["callbacks"] if not isinstance(callback, kind)]
        self.trainer_defaults = {**self.trainer_defaults, "callbacks": kept}

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> OmniCLI:
        """Parse and run, such as ``["fit", "--config", FILE]``."""
        defaults = {
            "default_root_dir": "runs/fit",
            "callbacks": [RichProgressBar(leave=True), LearningRateMonitor(logging_interval="step")],
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
            return cls(
                Pretrain,
                OmniDataModule,
                args=arguments,
                seed_everything_default=0,
                trainer_defaults=defaults,
                save_config_kwargs={"overwrite": True},
                parser_class=NearestKeyParser,
                auto_configure_optimizers=False,
            )
