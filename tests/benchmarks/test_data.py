"""The benchmark of the stream, on few documents: its figures are there, and loaders without a package are missing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data_cpu import cpu_seconds

ROOT = Path(__file__).parents[2]
MODULES = {
    "webdataset": "webdataset",
    "energon": "megatron.energon",
    "streaming": "streaming",
    "litdata": "litdata",
}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False


@pytest.mark.timeout(300)
def test_figures_of_a_small_run(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--documents", "50", "--workers", "1", "--json", str(file)]
    command = [sys.executable, "-m", "benchmarks.data", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280, capture_output=True)
    figures = json.loads(file.read_text())
    loaders, missing = figures["loaders"], figures["missing"]
    assert loaders.keys() | missing.keys() == {"ours", "ours, processes", *MODULES}
    assert not loaders.keys() & missing.keys()
    for name, module in MODULES.items():
        assert installed(module) or name in missing
    for name, row in loaders.items():
        assert row["share_of_decode_limit"] > 0 and len(row["shares"]) == 5, name
        assert name.startswith("ours") or row["version"]
    assert figures["ours_share_of_decode_limit"] == loaders["ours"]["share_of_decode_limit"]
    assert 0 < figures["index_and_crc_share_of_decode"] < 1
    assert figures["stream"]["fill_at_8192"] >= 0.99
    assert 0 < figures["stream"]["state_bytes"] < 1024
    assert figures["stream"]["first_batch"]["seconds"] > 0
    assert figures["stream"]["resume"]["seconds"] > 0


@pytest.mark.parametrize("option", [("--documents", "39"), ("--workers", "0"), ("--rounds", "4")])
def test_too_few_are_refused(option: tuple[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.data", *option],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 2
    assert f"{option[0]} {option[1]}: expected at least" in run.stderr


def test_cpu_time_counts_children_that_ended_and_those_that_live() -> None:
    busy = "sum(i for i in range(10**7))"
    before = cpu_seconds()
    subprocess.run([sys.executable, "-c", busy], check=True, timeout=60)
    ended = cpu_seconds() - before
    assert ended > 0.05
    before = cpu_seconds()
    living = subprocess.Popen(
        [sys.executable, "-c", f"{busy}; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert living.stdout is not None
        living.stdout.readline()
        assert cpu_seconds() - before > 0.05
    finally:
        living.kill()
        living.communicate(timeout=60)
