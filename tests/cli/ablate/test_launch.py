"""Runs as jobs: through submitit, here on its local executor; and what is said without it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from omni.cli.ablate.launch import submit


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=r"pip install 'omni\[slurm\]'"):
        submit(["true"], [], tmp_path)


def test_each_command_is_a_job(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    commands = [f"echo {number} > {tmp_path / str(number)}" for number in range(2)]
    numbers = submit(commands, ["timeout_min=1"], tmp_path / "logs", cluster="local")
    assert len(set(numbers)) == 2
    until = time.monotonic() + 120
    while not all((tmp_path / str(number)).is_file() for number in range(2)):
        assert time.monotonic() < until, list((tmp_path / "logs").iterdir())
        time.sleep(0.1)


@pytest.mark.parametrize("setting", ["slurm_partition", "=gpu"])
def test_a_setting_without_a_value_is_named(tmp_path: Path, setting: str) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ValueError, match="expected KEY=VALUE"):
        submit(["true"], [setting], tmp_path, cluster="local")


def test_a_setting_that_submitit_does_not_know_is_named(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ValueError, match="submitit refuses"):
        submit(["true"], ["no_such_setting=1"], tmp_path, cluster="local")
