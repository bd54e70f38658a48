"""Runs a function over shards on a Ray cluster: one task an item."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from typing import Any, TypeVar

from omni.datamodules.shards.tasks import TRIES, Cluster, Failed, attempt

CONNECT_SECONDS = 10.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_on_ray(
    cluster: Cluster, function: Callable[[Item], Result], items: Seq[Item]
) -> Iterator[Result | Failed[Item]]:
    """What became of each item, in the order of the items.

    Raises:
        ImportError: Ray isn't installed.
        ValueError: no such cluster, or fewer than one worker.
    """
    if cluster.workers is not None and cluster.workers < 1:
        raise ValueError(f"workers must be at least 1, got {cluster.workers}")
    with _connected(cluster) as ray:
        task = ray.remote(num_cpus=1, num_gpus=cluster.gpus, max_retries=TRIES - 1)(attempt)
        shared = ray.put(function)
        most = cluster.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: dict[Any, int] = {}
        done: dict[int, Any] = {}
        begun = 0
        for number in range(len(items)):
            while number not in done:
                while begun < len(items) and len(running) < most:
                    running[task.remote(shared, items[begun])] = begun
                    begun += 1
                for finished in ray.wait(list(running))[0]:
                    at = running.pop(finished)
                    done[at] = _outcome(ray, finished, items[at])
            yield done.pop(number)


def _outcome(ray: Any, finished: Any, item: Any) -> Any:
    try:
        return ray.get(finished)
    except ray.exceptions.RayError as error:  # the worker died, each time
        return Failed(item, str(error).strip().splitlines()[0], TRIES)


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected for as long as this lasts; a connection that was there is used, and stays."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ImportError(
            f"--ray {cluster.address} needs the library Ray: pip install 'omni[cluster]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    check_reachable(cluster.address)
    # tasks import what this process does, from the same places
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    local = {"num_cpus": cluster.workers, "include_dashboard": False} if cluster.address == "local" else {}
    try:
        ray.init(
            address=cluster.address,
            runtime_env={"env_vars": paths},
            log_to_driver=False,
            logging_level="error",
            **local,
        )
    except Exception as error:  # Ray raises many kinds, among them Exception itself
        ray.shutdown()  # what had been started by then
        raise ValueError(f"--ray {cluster.address}: no cluster to work on ({error})") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """Raise ``ValueError`` where nobody listens at ``HOST:PORT`` or ``ray://HOST:PORT``; Ray tries it for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # auto, local, or the name of a cluster
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"--ray {address}: no cluster to work on ({error})") from error
