"""``omni serve``: checkpoints and remote endpoints behind one address that speaks OpenAI's API."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from omni.serve.settings import Limits, Prompts, ServeConfig

if TYPE_CHECKING:
    from omni.serve.server import Server

PACKAGES = ("fastapi", "httpx2", "multipart", "prometheus_client", "uvicorn")
"""What the extra ``serve`` installs."""
KEY = "OMNI_API_KEY"
"""Environment variable that stands for ``--api-key``."""
GENERIC = {"checkpoints", "last"}
"""Names of files and folders that say nothing of the model."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``serve``."""
    parser = subparsers.add_parser(
        "serve",
        help="answer any OpenAI client from checkpoints and remote endpoints",
        description="Serves checkpoints, and remote OpenAI-compatible endpoints, behind one address; `model` chooses. "
        "Without a key only this machine is served.",
    )
    parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="CKPT",
        help="checkpoint or folder of `omni export`, or NAME=CKPT; by default the name is that of its run",
    )
    parser.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="remote endpoint, such as big=https://host/v1, or big=https://host/v1#MODEL where it calls the model "
        "otherwise; can be repeated",
    )
    parser.add_argument(
        "--endpoints",
        type=Path,
        metavar="FILE",
        help="YAML or JSON list of endpoints: name, url, model, key_env",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to bind to (default 8000)")
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help=f"key that clients must send (default: {KEY} of the environment); needed for any --host but loopback",
    )
    parser.add_argument(
        "--allow-domain",
        action="append",
        default=[],
        metavar="HOST",
        help="fetch pictures from URLs of this host, or *.HOST; by default only data: URLs are taken",
    )
    parser.add_argument(
        "--votes",
        type=Path,
        default=ServeConfig.votes,
        metavar="FILE",
        help=f"SQLite file of the compare page's votes (default {ServeConfig.votes})",
    )
    parser.add_argument("--device", default="cpu", help="device of the models (default cpu)")
    parser.add_argument(
        "--weights", default="fp32", help="fp32 or bf16: keep and multiply weights in it (default fp32)"
    )
    _add_limits(parser)
    parser.set_defaults(run=run)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits, prompts = Limits(), Prompts()
    group = parser.add_argument_group("limits")
    for name, type_, default, meaning in (
        ("--slots", int, 64, "answers that one checkpoint works on at once"),
        ("--queue", int, limits.queue, "answers that wait beside them; further ones get 429"),
        ("--positions", int, 2048, "positions that prompt and answer can have together"),
        ("--seconds", float, limits.seconds, "deadline of a request"),
        (
            "--max-tokens",
            int,
            limits.max_tokens,
            "text tokens of an answer where the request names no number",
        ),
        ("--body-mib", float, limits.body_mib, "largest body of a request, MiB"),
        ("--drain", int, 30, "seconds that requests have to end after SIGTERM"),
    ):
        group.add_argument(name, type=type_, default=default, help=f"{meaning} (default {default})")
    group = parser.add_argument_group("prompts", "How a checkpoint is asked what an endpoint means.")
    for name, wording, meaning in (
        ("--say", prompts.say, "a text to say"),
        ("--draw", prompts.draw, "a picture to draw"),
        ("--hear", prompts.hear, "what was said in the clip before"),
    ):
        group.add_argument(name, default=wording, metavar="PROMPT", help=f"{meaning} (default {wording!r})")


def run(args: argparse.Namespace) -> None:
    """Load the checkpoints and serve until SIGTERM.

    Raises:
        ImportError: the extra ``serve`` isn't installed.
        ValueError: nothing to serve, two models of one name, a bad checkpoint, endpoint, key or limit.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"omni serve needs {', '.join(missing)}: run `pip install 'omni[serve]'`")
    from omni.serve.run import run_server

    run_server(server_of_options(args), args.port, args.drain)


def server_of_options(args: argparse.Namespace) -> Server:
    """The server that the options describe; errors as of ``run``."""
    from omni.inference.batcher import EngineConfig
    from omni.inference.omni import Omni
    from omni.serve.endpoints import distinct, endpoint_of, read_endpoints
    from omni.serve.local import LocalModel
    from omni.serve.metrics import Metrics
    from omni.serve.remote import RemoteModel
    from omni.serve.server import Server

    limits = Limits(
        queue=args.queue,
        seconds=args.seconds,
        max_tokens=args.max_tokens,
        body_mib=args.body_mib,
        domains=tuple(args.allow_domain),
    )
    config = ServeConfig(
        host=args.host,
        api_key=args.api_key or os.environ.get(KEY) or None,
        limits=limits,
        prompts=Prompts(say=args.say, draw=args.draw, hear=args.hear),
        votes=args.votes,
    )
    metrics, sizes = Metrics(), EngineConfig(slots=args.slots, positions=args.positions)
    endpoints = [endpoint_of(option) for option in args.endpoint]
    endpoints += read_endpoints(args.endpoints) if args.endpoints is not None else []
    named = [named_checkpoint(given) for given in args.checkpoints]
    distinct([*(name for name, _ in named), *(endpoint.name for endpoint in endpoints)])
    models: dict[str, LocalModel | RemoteModel] = {}
    for name, path in named:
        omni = Omni.from_checkpoint(path, args.device, args.weights)
        models[name] = LocalModel(name, omni, sizes, limits, metrics)
    models |= {endpoint.name: RemoteModel(endpoint, limits.seconds) for endpoint in endpoints}
    return Server(models, config, metrics)


def named_checkpoint(given: str) -> tuple[str, Path]:
    """Name and path of ``NAME=PATH`` or ``PATH``, whose name is the last part that says something."""
    name, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        return name, Path(path)
    parts = [*Path(given).parent.parts, Path(given).stem]
    telling = [part for part in parts if part not in GENERIC and part not in ("/", ".", "..")]
    return (telling[-1] if telling else Path(given).stem), Path(given)
