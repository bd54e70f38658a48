"""``omni serve``: options, names, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
import torch

from omni.checkpoint import CHECKPOINT_KEY, MODEL_PREFIX, describe
from omni.cli.main import build_parser, main
from omni.cli.serve import named_checkpoint, server_of_options
from omni.serve.local import LocalModel
from omni.serve.server import Server
from tests.serve.talk import endless
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A run's last checkpoint."""
    path = tmp_path / "runs" / "mine" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    model = tiny_model()
    weights = {MODEL_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    torch.save({CHECKPOINT_KEY: describe(model.config, tiny_tokenizers()), "state_dict": weights}, path)
    return path


def server(*options: str) -> Server:
    return server_of_options(build_parser().parse_args(["serve", *options]))


def test_options_become_a_server(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_API_KEY", "of the environment")
    made = server(
        str(checkpoint), f"other={checkpoint}", "--endpoint", "far=http://host/v1", "--host", "0.0.0.0",
        "--queue", "3", "--slots", "2", "--seconds", "7", "--allow-domain", "a.org", "--say", "speak: {text}",
        "--votes", "mine.sqlite",
    )  # fmt: skip
    assert list(made.models) == ["mine", "other", "far"]
    local = made.models["mine"]
    assert isinstance(local, LocalModel)
    assert local.capacity == 5
    assert made.config.api_key == "of the environment"
    assert (made.config.limits.seconds, made.config.limits.domains) == (7.0, ("a.org",))
    assert made.config.prompts.say == "speak: {text}"
    assert made.votes.path == Path("mine.sqlite")
    assert server(str(checkpoint), "--api-key", "given").config.api_key == "given"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "nothing to serve"),
        (["none.ckpt"], "none.ckpt: no such checkpoint"),
        (["--endpoint", "a=http://h", "--endpoint", "a=http://h"], "two models are called 'a'"),
        (["--endpoint", "a=http://h", "--host", "0.0.0.0"], "give --api-key"),
        (["--endpoint", "a=http://h", "--seconds", "0"], "seconds must be positive, got 0.0"),
        (["--endpoint", "a=http://h", "--say", "speak"], "needs {text} somewhere, got 'speak'"),
        (["--endpoints", "none.yaml"], "none.yaml: no such file of endpoints"),
    ],
)
def test_what_can_not_be_served_is_one_line(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMNI_API_KEY", raising=False)
    assert main(["serve", *options]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("runs/demo/checkpoints/last.ckpt", "demo"),
        ("runs/demo/checkpoints/step-000010.ckpt", "step-000010"),
        ("exported", "exported"),
        ("mine=runs/demo/checkpoints/last.ckpt", "mine"),
        ("last.ckpt", "last"),
    ],
)
def test_names_say_what_a_run_was_called(given: str, name: str) -> None:
    found, path = named_checkpoint(given)
    assert found == name
    assert "=" not in str(path)


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("omni.cli.serve.PACKAGES", ("fastapi", "no_such_package"))
    assert main(["serve", "--endpoint", "a=http://h"]) == 2
    assert "omni serve needs no_such_package: run `pip install 'omni[serve]'`" in capsys.readouterr().err


@pytest.mark.slow
def test_sigterm_lets_what_is_begun_end(checkpoint: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "omni", "serve", str(checkpoint), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
            _until_healthy(client)
            body = endless(stream=True) | {"model": "mine"}
            with client.stream("POST", "/v1/chat/completions", json=body) as response:
                pieces = response.iter_text()
                received = next(pieces)
                process.send_signal(signal.SIGTERM)
                received += "".join(pieces)
        assert received.endswith("data: [DONE]\n\n")
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
    finally:
        process.kill()


def _until_healthy(client: httpx2.Client) -> None:
    for _ in range(600):
        try:
            assert client.get("/health").status_code == 200
            return
        except httpx2.ConnectError:
            time.sleep(0.2)
    raise AssertionError("the server does not start")
