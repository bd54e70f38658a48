"""Remote endpoints: what they say passes through, and what goes wrong has the one form."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni.serve.endpoints import Endpoint, distinct, endpoint_of, read_endpoints
from omni.serve.metrics import Metrics
from omni.serve.remote import RemoteModel
from tests.serve.live import Live, live, local_model, server_of
from tests.serve.talk import CHAT, asked, chat, endless, error_of, events, wav
from tests.tiny_model import tiny_model

KEY = "key-of-the-endpoint"


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[Live, Live]]:
    """A server of endpoints, and the one behind them; the first of three endpoints has its key."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as closed:
        patch.setenv("FAR_KEY", KEY)
        metrics = Metrics()
        model = local_model(tiny_model(), metrics)
        with live(server_of({"tiny": model}, metrics, api_key=KEY)) as behind:
            closed_port = closed.getsockname()[1]
            closed.close()
            url = f"{behind.url}/v1/"
            models = [
                RemoteModel(Endpoint(name="far", url=url, model="tiny", key_env="FAR_KEY"), 30.0),
                RemoteModel(Endpoint(name="keyless", url=url, model="tiny"), 30.0),
                RemoteModel(Endpoint(name="closed", url=f"http://127.0.0.1:{closed_port}/v1"), 30.0),
            ]
            with live(server_of({model.name: model for model in models}, Metrics())) as front:
                yield front, behind


def test_answers_pass_through(chain: tuple[Live, Live], running: Live) -> None:
    front, _ = chain
    with front.client() as client, running.client() as direct:
        far = asked(client, chat(max_tokens=5) | {"model": "far"})
        assert far["choices"] == asked(direct, chat(max_tokens=5))["choices"]
        assert far["model"] == "tiny"  # what it calls itself
        stream = events(client, chat(max_tokens=5) | {"model": "far"})
        assert stream[-1] == "[DONE]"
        heard = client.post(
            "/v1/audio/transcriptions", data={"model": "far"}, files={"file": ("c.wav", wav())}
        )
        assert isinstance(heard.json()["text"], str)
        drawn = client.post("/v1/images/generations", json={"model": "far", "prompt": "x"})
        assert drawn.json()["data"]
        said = client.post("/v1/audio/speech", json={"model": "far", "input": "x", "voice": "v"})
        assert said.headers["content-type"] == "audio/mpeg"
        cards = client.get("/v1/models").json()["data"]
        assert [(card["id"], card["owned_by"]) for card in cards] == [
            (name, "endpoint") for name in ("far", "keyless", "closed")
        ]


def test_errors_pass_through(chain: tuple[Live, Live]) -> None:
    front, _ = chain
    with front.client() as client:
        error = error_of(client.post(CHAT, json=chat(temperature=9) | {"model": "far"}), 400)
        assert error["param"] == "temperature"  # the endpoint's own words, for what is not checked here
        error_of(client.post(CHAT, json=chat() | {"model": "keyless"}), 401)
        error = error_of(client.post(CHAT, json=chat() | {"model": "closed"}), 502)
        assert error["code"] == "endpoint_unreachable"
        error = error_of(client.post("/v1/images/generations", json={"prompt": "x"}), 400)
        assert "say which model" in error["message"]


def test_a_client_that_leaves_stops_the_endpoint(chain: tuple[Live, Live]) -> None:
    from tests.serve.test_limits import until

    front, behind = chain
    body = endless(stream=True) | {"model": "far"}
    with front.client() as client, client.stream("POST", CHAT, json=body) as response:
        next(response.iter_bytes())
        assert behind.local().busy == 1
    until(lambda: behind.local().busy == 0)


def test_endpoints_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    one = endpoint_of("big=https://host/v1/#big-2026")
    assert (one.name, one.url, one.model, one.headers()) == ("big", "https://host/v1", "big-2026", {})
    assert endpoint_of("big=http://host/v1").model == "big"
    monkeypatch.setenv("BIG_KEY", "secret")
    keyed = Endpoint(name="a", url="http://host", key_env="BIG_KEY")
    assert keyed.headers() == {"Authorization": "Bearer secret"}
    assert "secret" not in repr(keyed)
    for bad, told in (
        ("big", "expected NAME=URL"),
        ("big=host/v1", "must be http"),
        ("=http://host", "has no name"),
    ):
        with pytest.raises(ValueError, match=told):
            endpoint_of(bad)
    with pytest.raises(ValueError, match="OTHER_KEY with its key is not set"):
        Endpoint(name="a", url="http://host", key_env="OTHER_KEY")


def test_many_endpoints_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yaml"
    path.write_text("\n".join(f"- {{name: m{n}, url: 'http://host:{n}/v1'}}" for n in range(1, 61)))
    found = read_endpoints(path)
    assert [one.name for one in found] == [f"m{n}" for n in range(1, 61)]
    for content, told in (
        ("{}", "expected a list of endpoints, got dict"),
        ("- 3", "entry 1: expected texts"),
        ("- {name: a, url: 'http://h', color: red}", r"got \['color'\]"),
        ("- {name: a}", r"got \['name'\]"),
        ("- {name: a, url: h}", "entry 1: endpoint 'a'"),
        ("[", "no YAML"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=told):
            read_endpoints(path)
    with pytest.raises(ValueError, match="no such file"):
        read_endpoints(tmp_path / "none")
    with pytest.raises(ValueError, match="two models are called 'a'"):
        distinct(["a", "b", "a"])
