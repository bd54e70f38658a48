"""``omni fit`` is asked to go: it saves at once, says that it wants back, and goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import lightning
import pytest
import yaml

from omni.callbacks.preemption import SIGNALS, Preempted, Preemption, requeue_job
from omni.checkpoint import load_model
from omni.cli.lightning_cli import OmniCLI
from omni.sequence import OmniBatch
from omni.training.exit_codes import PREEMPTED
from tests.cli.fit_run import ROOT, config
from tests.faults.planted import differing
from tests.tiny_run import write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

ASKED = 2
SLURM = {
    "SLURM_NTASKS": "1",
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "omni",
    "SLURM_NODELIST": "localhost",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def written(corpus: Path, out: Path, planted: dict[str, Any] | None = None, **data: Any) -> Path:
    """The config of a run in ``out``, as a file."""
    out.mkdir(exist_ok=True)
    settings = config(corpus, out, out / "record", world=1, workers=0, kill_after=None)
    settings["data"] |= {"batch_rows": 2, "val": None, **data}
    settings["trainer"] |= {"accumulate_grad_batches": 2, "val_check_interval": None, "callbacks": []}
    if planted:
        settings["trainer"]["callbacks"] = [
            {"class_path": "tests.faults.planted.Planted", "init_args": planted}
        ]
    path = out / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def scontrol(folder: Path, code: int = 0) -> Path:
    """A program of that name, which notes what it was asked."""
    folder.mkdir()
    path = folder / "scontrol"
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\necho "no such job" >&2\nexit {code}\n')
    path.chmod(0o755)
    return folder


def final(out: Path) -> dict[str, Any]:
    """The weights of the last checkpoint."""
    return dict(load_model(out / "checkpoints" / "last.ckpt")[0].state_dict())


def test_a_signal_to_the_whole_job_requeues_it_and_it_goes_on_bit_for_bit(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGUSR1, then SIGTERM, to the training process and its two worker processes, under SLURM."""
    out, programs = tmp_path / "asked", scontrol(tmp_path / "programs")
    planted = {"kind": "usr1_to_all", "step": ASKED}
    path = written(corpus, out, planted, workers=2, worker_kind="process")
    done = subprocess.run(
        [sys.executable, "-m", "omni", "fit", "--config", str(path)],
        cwd=ROOT,
        env=os.environ | SLURM | {"OMP_NUM_THREADS": "1", "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == PREEMPTED, done.stderr[-4000:]
    assert f"omni: asked to go, saved at step {ASKED}, exit code {PREEMPTED}" in done.stdout
    assert (programs / "asked").read_text() == "requeue 4711\n"
    assert (out / "checkpoints" / "last.ckpt").exists()
    monkeypatch.chdir(ROOT)
    handlers = [signal.getsignal(number) for number in SIGNALS]
    OmniCLI.from_arguments(["fit", "--config", str(written(corpus, out)), "--ckpt_path", "last"])
    OmniCLI.from_arguments(["fit", "--config", str(written(corpus, tmp_path / "whole"))])
    assert [signal.getsignal(number) for number in SIGNALS] == handlers, "given back"
    assert differing(final(out), final(tmp_path / "whole")) == set()


def test_at_the_last_step_a_run_ends_as_ever() -> None:
    preemption, module, batch = Preemption(), Mock(lightning.LightningModule), Mock(OmniBatch)
    preemption._note(signal.SIGTERM, None)
    trainer = Mock(lightning.Trainer, world_size=1, global_step=7, max_steps=7, checkpoint_callbacks=[])
    trainer._accelerator_connector = Mock()
    preemption.step_ended(trainer, module, batch)
    trainer.global_step = 6
    with pytest.raises(Preempted):
        preemption.step_ended(trainer, module, batch)


@pytest.mark.parametrize(("code", "told"), [(1, r"code 1: no such job"), (None, "No such file")])
def test_a_job_that_is_not_requeued_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, told: str
) -> None:
    programs = scontrol(tmp_path / "programs", code) if code else tmp_path
    monkeypatch.setenv("PATH", f"{programs}:/bin" if code else str(programs))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.warns(UserWarning, match=rf"`scontrol requeue 4711_3` failed .*{told}.*yourself"):
        requeue_job()
