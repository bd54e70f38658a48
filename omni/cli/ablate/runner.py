"""Runs the commands of a study, some at the same time; a failed one is noted and the others go on."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATUS_FILE, LOCK_FILE = "status.json", "lock"
PROGRAM = (sys.executable, "-m", "omni")
TAIL = 12
"""Lines of a failed command's output that are kept."""
POLL = 0.1
PATIENCE = 30.0
"""Seconds that a stopped command gets to end, and that a lock is waited for."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Command:
    """One program of a run."""

    name: str
    """Such as ``fit``; its output goes to ``NAME.log``."""
    arguments: tuple[str, ...]
    """Behind ``omni``."""
    resume: tuple[str, ...] = ()
    """Arguments more where ``checkpoint`` is there."""
    checkpoint: Path | None = None


class Job:
    """The commands of one run, one after another, with a status file that says how far they are."""

    def __init__(self, name: str, folder: Path, commands: Sequence[Command]) -> None:
        self.name, self.folder, self.commands = name, folder, tuple(commands)
        self.status: dict[str, Any] = read_status(folder)
        self.environment: dict[str, str] = {}
        """Variables that its commands get besides this process's."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._since = self._peak = 0.0

    @property
    def done(self) -> bool:
        """Whether all commands have ended well."""
        return self.status["state"] == "done"

    def start(self) -> None:
        """Begin with the first command that hasn't ended well.

        Raises:
            ValueError: a process that an earlier study left behind still works in the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder / LOCK_FILE)
        self.status.pop("error", None)
        self._next()

    def poll(self) -> bool:
        """Go on where a command has ended; returns whether the job is over."""
        process = self._process
        assert process is not None, f"{self.name} was not started"
        self._peak = max(self._peak, _peak_gib(process.pid))
        if process.poll() is None:
            return False
        command = self.commands[len(self.status["ended"])]
        seconds = time.monotonic() - self._since
        self.status["seconds"][command.name] = round(
            self.status["seconds"].get(command.name, 0.0) + seconds, 2
        )
        peak = max(self._peak, self.status["peak_memory_gib"].get(command.name, 0.0))
        self.status["peak_memory_gib"][command.name] = round(peak, 3)
        if process.returncode:
            self._end("failed", f"{command.name}: {_why(process.returncode)}\n{_tail(self._log(command))}")
            return True
        self.status["ended"].append(command.name)
        if len(self.status["ended"]) == len(self.commands):
            self._end("done", None)
            return True
        self._next()
        return False

    def stop(self) -> None:
        """End the command that runs."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._end("stopped", None)

    def _next(self) -> None:
        command = self.commands[len(self.status["ended"])]
        arguments = command.arguments
        if command.checkpoint is not None and command.checkpoint.exists():
            arguments = (*arguments, *command.resume)
        self._write("running", command.name)
        self._since, self._peak = time.monotonic(), 0.0
        assert self._lock is not None, f"{self.name} holds no lock"
        with self._log(command).open("ab") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                pass_fds=(self._lock,),
                preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,
            )

    def _log(self, command: Command) -> Path:
        return self.folder / f"{command.name.replace(' ', '-')}.log"

    def _end(self, state: str, error: str | None) -> None:
        if error is not None:
            self.status["error"] = error
        self._write(state, None)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, state: str, command: str | None) -> None:
        self.status |= {"state": state, "command": command}
        aside = self.folder / f"{STATUS_FILE}.new"
        aside.write_text(json.dumps(self.status, indent=1))
        aside.replace(self.folder / STATUS_FILE)


def read_status(folder: Path) -> dict[str, Any]:
    """How far a run is; ``state`` is ``new``, ``running``, ``done``, ``failed`` or ``stopped``."""
    path = folder / STATUS_FILE
    if not path.is_file():
        return {"state": "new", "command": None, "ended": [], "seconds": {}, "peak_memory_gib": {}}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def run_jobs(jobs: Sequence[Job], at_once: int, tell: Callable[[str], None]) -> None:
    """Run all jobs that aren't done, ``at_once`` at the same time; what runs is ended with this process."""
    waiting = deque(job for job in jobs if not job.done)
    if at_once > 1 and "OMP_NUM_THREADS" not in os.environ:
        for job in jobs:  # or each would take all cores
            job.environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // at_once))
    running: list[Job] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(waiting.popleft())
                running[-1].start()
                tell(f"{running[-1].name}: started")
            for job in [job for job in running if job.poll()]:
                running.remove(job)
                seconds = sum(job.status["seconds"].values())
                tell(f"{job.name}: {job.status['state']} after {seconds:.0f} s")
            time.sleep(POLL)
    finally:
        for job in running:
            job.stop()


def _locked(path: Path) -> int:
    """A lock that this process and those that it starts hold, until all of them have ended."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(handle)
                raise ValueError(
                    f"{path.parent}: another process still works in this folder: wait, or end it"
                ) from None
            time.sleep(POLL)


def _peak_gib(pid: int) -> float:
    """Largest resident size of a process so far; 0 where the system doesn't say.

    ``ru_maxrss`` would be that of this process at least, of which each child begins as a copy.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return max((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM")), default=0.0)


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it starts: it asks Linux to be killed when the study is."""
    library = ctypes.CDLL(None)

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _why(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return (
        "\n".join(line for line in lines if line.strip())[-2000:]
        if len(lines) <= TAIL
        else "\n".join(lines[-TAIL:])
    )
