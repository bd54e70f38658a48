"""Puts the figures of finished demo runs into the README and their loss curves under docs/reference.

Command:  python -m benchmarks.reference runs/demo runs/seed1 runs/seed2 --recorded runs/fsdd [--json FILE]
          (after `omni demo`, `omni demo --seed 1 --out runs/seed1`, ..., `omni demo --speech DIR --out runs/fsdd`)
Time:     seconds
Result:   README's table, docs/reference/demo_losses_*.csv and demo_losses.png, docs/reference/demo_metrics.json
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

from omni.cli.demo.report.losses import read_losses
from omni.cli.demo.report.plots import loss_figure
from omni.cli.demo.run import METRICS_FILE, RUN_FILE

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
RECORDED = "recorded speech"
COLUMNS = ("seed 0", "seed 1", "seed 2", RECORDED)
"""Of README's table, behind figure, metric and target."""
ROW = re.compile(r"^\| (?P<figure>.+?) \| `(?P<metric>\w+)` \| (?P<target>.+?) \| (?P<cells>.+) \|$")


def main() -> None:
    """Read the runs and rewrite README and docs/reference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs on synthetic speech")
    parser.add_argument("--recorded", type=Path, help="folder of the run on recorded speech")
    parser.add_argument(
        "--json", type=Path, default=REFERENCE / "demo_metrics.json", help="where all figures go"
    )
    args = parser.parse_args()
    try:
        runs = {folder: _described(folder) for folder in (*args.runs, args.recorded) if folder}
    except ValueError as error:
        parser.error(str(error))
    folders = {
        RECORDED if folder == args.recorded else f"seed {run['seed']}": folder for folder, run in runs.items()
    }
    metrics = {label: json.loads((folder / METRICS_FILE).read_text()) for label, folder in folders.items()}
    REFERENCE.mkdir(parents=True, exist_ok=True)
    known = json.loads(args.json.read_text()) if args.json.is_file() else {}
    args.json.write_text(json.dumps(dict(sorted((known | metrics).items())), indent=1) + "\n")
    readme = ROOT / "README.md"
    lines = readme.read_text().splitlines()
    readme.write_text(
        "\n".join(_filled(line, [metrics.get(label) for label in COLUMNS]) for line in lines) + "\n"
    )
    seeds = {label: folder / runs[folder]["losses"] for label, folder in folders.items() if label != RECORDED}
    for label, path in seeds.items():
        _write_losses(path, REFERENCE / f"demo_losses_{label.replace(' ', '')}.csv")
    if seeds:
        loss_figure(seeds, REFERENCE / "demo_losses.png")


def _described(folder: Path) -> dict[str, Any]:
    """What a folder says about its run.

    Raises:
        ValueError: no finished run is there, or one at a reduced size.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `omni demo --out {folder}` writes it when it is done")
    run: dict[str, Any] = json.loads(path.read_text())
    if run["reduced"]:
        raise ValueError(f"{folder}: a reduced run ({run['reduced']}), whose figures are not the demo's")
    return run


def _write_losses(log: Path, out: Path) -> None:
    """Keep the losses of a log and nothing else: stage, modality, step, value."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("stage", "modality", "step", "loss"))
        for (stage, modality), curve in read_losses(log).items():
            writer.writerows(
                (stage, modality, s, f"{v:.4f}") for s, v in zip(curve.steps, curve.values, strict=True)
            )


def _filled(line: str, runs: list[dict[str, float] | None]) -> str:
    """A row of README's table with the figures of the runs; cells of other runs and other lines as they are."""
    row = ROW.match(line)
    if not row:
        return line
    before = [cell.strip() for cell in row["cells"].split("|")]
    cells = [
        cell if run is None else _cell(row["metric"], run.get(row["metric"]))
        for cell, run in zip(before, runs, strict=True)
    ]
    return "| " + " | ".join([row["figure"], f"`{row['metric']}`", row["target"], *cells]) + " |"


def _cell(metric: str, value: float | None) -> str:
    if value is None:
        return "not measured"
    if metric == "seconds":
        return f"{value / 60:.1f} min"
    if metric == "peak_memory_gib":
        return f"{value:.1f} GiB"
    return (
        f"{value:.1f}"
        if metric.endswith("perplexity")
        else (f"{value:.2f}" if "diversity" in metric else f"{value:.1%}".replace("%", " %"))
    )


if __name__ == "__main__":
    main()
