"""The first losses of the demo, kept: a change that moves them is either a bug or says why in its commit.

Command:  python -m tests.golden.losses      writes tests/golden/losses.json anew
Time:     about a minute
Result:   20 steps on the reduced demo's corpus (seed 0): nats per token, squared error per value, nats per frame,
          and the recipe they were made with
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.demo_run import demo_folder, omni

FILE = Path(__file__).with_name("losses.json")
CONFIG = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"
STEPS = 20
NAMES = ("text", "image", "audio")


def first_steps() -> dict[str, Any]:
    """Losses of the demo's first steps by modality, by ``omni fit`` on the reduced demo's shards, and its recipe."""
    demo = demo_folder()
    with TemporaryDirectory() as folder:
        settings = {
            "data.tokenizers": demo / "tokenizers",
            "data.train": demo / "shards" / "train",
            "data.val": "null",
            "trainer.default_root_dir": folder,
            "trainer.max_steps": STEPS,
            "trainer.val_check_interval": STEPS,
            "trainer.log_every_n_steps": 1,
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        done = omni("fit", "--config", str(CONFIG), *options)
        assert done.returncode == 0, done.stderr[-4000:]
        with (Path(folder) / "logs" / "version_0" / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row.get("train/text")]
        config = yaml.safe_load((Path(folder) / "logs" / "version_0" / "config.yaml").read_text())
    losses = {name: [round(float(row[f"train/{name}"]), 4) for row in rows] for name in NAMES}
    # what 20 steps hardly show, such as weight decay
    recipe = {
        "network": config["model"]["network"],
        "optim": config["model"]["optim"],
        "plan": config["data"]["plan"],
    }
    return {"losses": losses, "recipe": recipe | {"clip": config["trainer"]["gradient_clip_val"]}}


def main() -> None:
    """Write the golden file."""
    FILE.write_text(json.dumps(first_steps(), indent=1) + "\n")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
