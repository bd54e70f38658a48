"""Tests that others wrote: the official client's own, a second client, and requests made from our schema.

    python -m pytest -m slow tests/serve/test_conformance.py -s

The tests of the official client come with its source distribution, of the installed version; ``OPENAI_SDIST`` names
it where it can't be downloaded. They were made for a mock that takes anything of the right type, so values that mean
nothing to a real server are replaced (``ADAPTED``).
"""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from omni.serve.metrics import Metrics
from tests.serve.live import Live, live, local_model, server_of
from tests.serve.talk import image_url, samples_of, wav
from tests.tiny_model import tiny_model

pytestmark = pytest.mark.slow

NAMES = ("tiny", "gpt-5.4", "gpt-4o-mini", "gpt-4o-transcribe", "gpt-image-2", "tts-1")
"""Models that the official tests ask for."""
FOLDER = "tests/api_resources"
FILES = [
    f"{FOLDER}/{name}.py"
    for name in (
        "chat/test_completions",
        "test_models",
        "test_images",
        "audio/test_speech",
        "audio/test_transcriptions",
    )
]
ELSEWHERE = (
    "not aiohttp and not delete and not variation and not edit "
    "and not (Completions and (retrieve or update or list))"
)
"""Leaves out tests of what this server has not: stored chats, changed pictures, deleted models."""
ADAPTED = {
    'logit_bias={"foo": 0}': 'logit_bias={"5": 0}',  # keys are ids of tokens
    "max_completion_tokens=0": "max_completion_tokens=9",  # nothing can be said in no tokens
    "max_tokens=0": "max_tokens=9",
    "frequency_penalty=-2": "frequency_penalty=0",  # refused here: see repetition_penalty
    "presence_penalty=-2": "presence_penalty=0",
    'file=b"Example data"': 'file=("clip.wav", open(os.environ["OMNI_CLIP"], "rb").read())',
}

ASK_TINY = """
import schemathesis

@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        body["model"] = "tiny"
    return body
"""
"""Else nearly all requests would be for models that are not there."""


@pytest.fixture(scope="module")
def many_names() -> Iterator[Live]:
    """A server of one model under all names."""
    metrics = Metrics()
    model = local_model(tiny_model(), metrics)
    with live(server_of(dict.fromkeys(NAMES, model), metrics)) as running:
        yield running


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of the installed official client."""
    pytest.importorskip("openai")
    pytest.importorskip("pytest_asyncio")
    pytest.importorskip("respx")
    folder = tmp_path_factory.mktemp("openai")
    given = os.environ.get("OPENAI_SDIST")
    if given is None:
        wanted = f"openai=={version('openai')}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "openai", wanted]
        if subprocess.run(command, cwd=folder, capture_output=True, timeout=500).returncode != 0:
            pytest.skip(f"the source distribution of {wanted} can't be downloaded; name it in OPENAI_SDIST")
    (archive,) = [Path(given)] if given else folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def test_the_official_clients_own_tests_pass(many_names: Live, sources: Path, tmp_path: Path) -> None:
    for name in FILES:
        path = sources / name
        text = path.read_text(encoding="utf-8")
        for mocked, meant in ADAPTED.items():
            text = text.replace(mocked, meant)
        path.write_text(text, encoding="utf-8")
    (sources / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\n"
    )
    clip = tmp_path / "clip.wav"
    clip.write_bytes(wav())
    environment = os.environ | {"TEST_API_BASE_URL": f"{many_names.url}/v1", "OMNI_CLIP": str(clip)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=short",
        "-c",
        "pytest.ini",
        "-k",
        ELSEWHERE,
        *FILES,
    ]
    done = subprocess.run(command, cwd=sources, env=environment, capture_output=True, text=True, timeout=1800)
    last = done.stdout.strip().splitlines()[-1]
    print(f"official client {version('openai')}: {last}")
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", last)
    assert passed is not None and int(passed[1]) > 100, last


def test_requests_made_from_the_schema_find_no_fault(running: Live, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,negative_data_rejection,unsupported_method,missing_required_header"
    )
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json", "--checks", checks,
        "--max-examples", os.environ.get("EXAMPLES", "50"), "--no-color", "--seed", "1",
    ]  # fmt: skip
    hooks = tmp_path / "hooks.py"
    hooks.write_text(ASK_TINY)
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(hooks)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800
    )
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_a_second_client_is_served(running: Live) -> None:
    litellm = pytest.importorskip("litellm")
    where = {"api_base": f"{running.url}/v1", "api_key": "unused"}
    content = [{"type": "text", "text": "which digit?"}, image_url()]
    said = [{"role": "user", "content": content}]
    whole = litellm.completion(model="openai/tiny", messages=said, max_tokens=9, **where)
    assert whole.usage.completion_tokens <= 9
    stream = litellm.completion(model="openai/tiny", messages=said, max_tokens=9, stream=True, **where)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == whole.choices[0].message.content
    drawn = litellm.image_generation(model="openai/tiny", prompt="draw three", **where)
    assert base64.b64decode(drawn.data[0].b64_json).startswith(b"\x89PNG")
    spoken = litellm.speech(model="openai/tiny", input="three", voice="any", response_format="wav", **where)
    assert samples_of(spoken.content)[1] == 8000
    clip = io.BytesIO(wav())
    clip.name = "clip.wav"
    heard = litellm.transcription(model="openai/tiny", file=clip, **where)
    assert isinstance(heard.text, str)
    with pytest.raises(litellm.BadRequestError, match="less than or equal to 2"):
        litellm.completion(model="openai/tiny", messages=said, temperature=3, **where)
    with pytest.raises(litellm.NotFoundError, match="does not exist"):
        litellm.completion(model="openai/other", messages=said, **where)
