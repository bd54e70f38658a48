"""One job per run on a cluster: SLURM, through submitit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def submit(
    commands: Sequence[str], settings: Sequence[str], folder: Path, cluster: str | None = None
) -> list[str]:
    """Submit a job for each command, and return their ids at once.

    Args:
        commands: of a shell, one for each run.
        settings: ``KEY=VALUE`` for submitit's executor, such as ``slurm_partition=gpu``.
        folder: where submitit keeps scripts and logs.
        cluster: of submitit; by default SLURM.

    Raises:
        ImportError: submitit isn't installed.
        ValueError: a setting without ``=``, or one that submitit doesn't know.
    """
    try:
        import submitit
    except ImportError as error:
        raise ImportError("--submit needs submitit: run `pip install 'omni[slurm]'`") from error
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster or "slurm")
    given: dict[str, Any] = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign or not key:
            raise ValueError(f"--slurm {setting}: expected KEY=VALUE, such as --slurm slurm_partition=gpu")
        given[key] = yaml.safe_load(value)
    try:
        executor.update_parameters(**given)
    except (NameError, TypeError, ValueError) as error:
        raise ValueError(f"--slurm: submitit refuses {given}: {error}") from None
    jobs = [executor.submit(run_command, command) for command in commands]
    return [str(job.job_id) for job in jobs]


def run_command(command: str) -> None:
    """Run a command of a shell; called in the job.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    import subprocess

    subprocess.run(command, shell=True, check=True)
