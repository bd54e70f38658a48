"""Runs of ``omni fit`` that are killed at a random moment, go on, and must end as one that nothing stopped.

Command:  python -m tests.faults.kills [--kills 50] [--seed 0] [--json FILE]
Time:     5 minutes on one core
Result:   kills, how many came before the first checkpoint was there, and how many of the runs ended with the same
          weights, to the last bit

Each run is a process of its own, forked from this one, which has imported everything already; SIGKILL may hit at any
moment between its start and its end. Every step is saved, so that many kills hit a save. Data come from two worker
processes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import yaml

from omni.checkpoint import load_model
from omni.cli.lightning_cli import OmniCLI
from tests.cli.fit_run import config, read_lines
from tests.faults.planted import differing
from tests.tiny_run import write_corpus

STEPS = 12
SOONER, LATER = 0.8, 1.05
"""Moments are drawn from a time that follows the machine's speed: some come when a run has ended, and don't count."""


def written(corpus: Path, out: Path) -> Path:
    """The config of a run in ``out``, as a file beside it: in there Lightning writes one of its own."""
    out.mkdir()
    settings = config(corpus, out, out / "record", world=1, workers=2, kill_after=None)
    settings["data"] |= {"batch_rows": 2, "val": None}
    settings["trainer"] |= {
        "accumulate_grad_batches": 2,
        "val_check_interval": None,
        "max_steps": STEPS,
    }
    settings["checkpoint"]["every_n_train_steps"] = 1
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(settings))
    return path


def start(config_file: Path) -> int:
    """Begin or go on, in a new process; its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        log = os.open(config_file.with_suffix(".txt"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        OmniCLI.from_arguments(["fit", "--config", str(config_file), "--ckpt_path", "last"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(child: int, config_file: Path) -> None:
    """Wait; a run that fails is an error with its last words."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    log = config_file.with_suffix(".txt").read_text()
    assert code == 0, f"exit code {code}:\n{log[-4000:]}"


def final(out: Path) -> dict[str, torch.Tensor]:
    """The weights of the last checkpoint."""
    return dict(load_model(last_of(out))[0].state_dict())


def batches(out: Path) -> list[int]:
    """Numbers of the batches that were trained on, over all starts."""
    return [line["batch"] for line in read_lines(out / "record-0.jsonl")]


def last_of(out: Path) -> Path:
    """The last checkpoint of a run."""
    return out / "checkpoints" / "last.ckpt"


def kill_once(config_file: Path, seconds: float) -> bool:
    """Start a run and kill it after ``seconds``; whether it was still there."""
    child = start(config_file)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def survive(kills: int, seed: int, folder: Path) -> dict[str, int]:
    """Kill ``kills`` runs, and hold each that went on against the one that nothing stopped."""
    moments = random.Random(seed)
    corpus = write_corpus(folder / "corpus")
    whole = written(corpus, folder / "whole")
    began = time.monotonic()
    end(start(whole), whole)
    seconds = time.monotonic() - began
    expected = final(folder / "whole")
    found = {"kills": 0, "before_a_checkpoint": 0, "equal": 0}
    while found["kills"] < kills:
        out = folder / "killed"
        killed = written(corpus, out)
        alive = kill_once(killed, moments.uniform(0, seconds))
        seconds *= LATER if alive else SOONER
        if alive:
            found["kills"] += 1
            saved, trained = last_of(out).exists(), len(batches(out))
            end(start(killed), killed)
            again = batches(out)[trained:]
            assert saved == (not again or again[0] > 0), f"goes on where it can, at {again[:1]}"
            found["before_a_checkpoint"] += not saved
            assert not (other := differing(final(out), expected)), other
            found["equal"] += 1
            print(json.dumps(found), file=sys.stderr, flush=True)
        shutil.rmtree(out)
        killed.with_suffix(".txt").unlink(missing_ok=True)
    return found


def main() -> None:
    """Kill, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="where the result goes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        found = survive(args.kills, args.seed, Path(folder))
    print(json.dumps(found))
    if args.json:
        args.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
