"""The course of ``omni ablate``: data, plan, runs, measurements, report."""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from omni.ablation.budget import PlannedRun, check_spreads, plan_runs, spreads
from omni.ablation.expand import Run, runs_of
from omni.ablation.mapping import nearest
from omni.ablation.study import Study
from omni.ablation.study_file import parse_changes, read_study
from omni.cli.ablate.configs import PartConfigs, census_name, fit_config, with_data
from omni.cli.ablate.data_stage import Places, make_data, places_of
from omni.cli.ablate.launch import submit
from omni.cli.ablate.planning import plan_json, print_plan
from omni.cli.ablate.runner import Command, Job, read_status, run_jobs
from omni.cli.json_file import write_json

RUNS = "runs"


def run_study(args: argparse.Namespace) -> None:
    """Do what the command line says; see ``omni ablate --help``.

    Raises:
        ValueError: the study can't be used, budgets are too far apart, or the folder holds other runs.
    """
    console = Console()
    study = read_study(args.study, parse_changes(args.set))
    out = args.out or Path("runs") / "ablation" / study.name
    runs = runs_of(study)
    if args.dry_run:
        _plan(args, study, runs, places_of(study, out), out, console)
        return
    _check_folder(args, out, runs)
    places = make_data(study, out)
    if args.data:
        for name, census in _stated(study, runs, places).items():
            console.print(f"{name}: {json.dumps(census)}", highlight=False, soft_wrap=True)
        return
    planned = _plan(args, study, runs, places, out, console)
    command = ["omni", "ablate", str(args.study), "--out", str(out)]
    command += [part for pair in args.set for part in ("--set", pair)]
    command += ["--tolerance", str(args.tolerance)] if args.tolerance is not None else []
    single = [shlex.join([*command, "--run", run.run.name]) for run in planned]
    if args.commands is not None:
        args.commands.parent.mkdir(parents=True, exist_ok=True)
        args.commands.write_text("\n".join(single) + "\n")
        console.print(
            f"{len(single)} commands in {args.commands}; then: {shlex.join([*command, '--report'])}"
        )
        return
    if args.submit:
        for run, number in zip(planned, submit(single, args.slurm, out / "slurm"), strict=True):
            console.print(f"{run.run.name}: job {number}")
        console.print(f"When all have ended: {shlex.join([*command, '--report'])}")
        return
    if not args.report:
        chosen = [run for run in planned if args.only in (None, run.run.name)]
        jobs = [_job(study, run, places, out) for run in chosen]
        run_jobs(jobs, args.jobs, console.print)
        if args.only is not None:
            (job,) = jobs
            if not job.done:
                raise ValueError(f"{args.only} {job.status['state']}: {job.status.get('error', '')}")
            return
    from omni.cli.ablate.results_stage import write_results  # reads checkpoints

    write_results(args, study, planned, places, out, console)


def _plan(
    args: argparse.Namespace,
    study: Study,
    runs: Sequence[Run],
    places: Places,
    out: Path,
    console: Console,
) -> list[PlannedRun]:
    """Plan, print and write it, and refuse budgets that are too far apart."""
    with tempfile.TemporaryDirectory() as folder:
        planned = plan_runs(study, runs, PartConfigs(study, places, Path(folder)).sized)
    found = spreads(study, planned)
    tolerance = study.budget.tolerance if args.tolerance is None else args.tolerance
    rate = _rate(planned, out) or study.machine.flops_per_second
    print_plan(study, planned, found, rate, console)
    if not places.ready:
        console.print("The data aren't made yet: counted on the census that the study states.")
    write_json(args.json, plan_json(study, planned, found, tolerance, rate))
    check_spreads(study, found, tolerance)
    return planned


def _stated(study: Study, runs: Sequence[Run], places: Places) -> dict[str, Any]:
    """What ``data.census`` of the study may say."""
    with tempfile.TemporaryDirectory() as folder:
        configs = PartConfigs(study, places, Path(folder))
        return {census_name(part): configs.sized(part).census.as_json() for run in runs for part in run.parts}


def _rate(planned: Sequence[PlannedRun], out: Path) -> float | None:
    """Training FLOPs per second of the runs that have ended in this folder."""
    flops = seconds = 0.0
    for run in planned:
        status = read_status(out / RUNS / run.run.name)
        if status["state"] == "done":
            flops += run.flops
            seconds += sum(took for name, took in status["seconds"].items() if name.startswith("fit"))
    return flops / seconds if seconds else None


def _check_folder(args: argparse.Namespace, out: Path, runs: Sequence[Run]) -> None:
    """
    Raises:
        ValueError: no such run, or there are results and nothing says that they are to be kept.
    """
    if args.only is not None:
        nearest(args.only, [run.name for run in runs], "--run")
        return
    if (out / RUNS).is_dir() and not (
        args.resume or args.report or args.commands or args.submit or args.data
    ):
        raise ValueError(f"{out / RUNS} holds runs: --resume goes on with them, or choose another --out")


def _job(study: Study, planned: PlannedRun, places: Places, out: Path) -> Job:
    """The commands of a run: a fit for each part, then its evaluation."""
    folder = out / RUNS / planned.run.name
    commands: list[Command] = []
    checkpoints: dict[str, str] = {}
    for one in planned.parts:
        own = folder / "stages" / one.part.name if one.part.name else folder
        config = fit_config(with_data(one.part, places), planned.run, one.steps, own)
        path = own / "config.yaml"
        _write_config(path, config, planned.run.name)
        last = own / "checkpoints" / "last.ckpt"
        name = f"fit {one.part.name}".strip()
        commands.append(Command(name, ("fit", "--config", str(path)), ("--ckpt_path", str(last)), last))
        checkpoints[one.part.name] = str(last)
    if planned.run.variant.stages:
        named = [f"{stage}={path}" for stage, path in checkpoints.items()]
        commands.append(Command("join", ("cascade", "join", str(folder), *named)))
    checkpoint = checkpoints.get("", str(folder))
    evaluate = ["eval", checkpoint, "--data", str(places.heldout), "--seed", str(planned.run.seed)]
    if places.judges is not None:
        evaluate += ["--judges", str(places.judges)]
    if study.measure.limit is not None:
        evaluate += ["--limit", str(study.measure.limit)]
    evaluate += ["--json", str(folder / "eval.json"), "--examples", str(folder / "examples.csv")]
    commands.append(Command("eval", tuple(evaluate)))
    return Job(planned.run.name, folder, commands)


def _write_config(path: Path, config: dict, name: str) -> None:
    """
    Raises:
        ValueError: the run was begun with another config.
    """
    written = yaml.safe_dump(config, sort_keys=False)
    if path.is_file() and path.read_text() != written:
        begun = yaml.safe_load(path.read_text())
        keys = [key for key in {**begun, **config} if begun.get(key) != config.get(key)]
        raise ValueError(
            f"{path}: {name} was begun with other values under {', '.join(keys)}: go on with the study as it was, "
            f"choose another --out, or remove {path.parent}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written)
