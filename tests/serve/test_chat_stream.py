"""Streams of ``/v1/chat/completions``, to the letter."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import numpy as np
import pytest
import torch

from omni.serve.metrics import Metrics
from tests.inference.test_generate import Scripted, ids
from tests.serve.live import Live, live, local_model, server_of
from tests.serve.talk import asked, chat, endless, events, image_url, pixels_of, text
from tests.tiny_model import tiny_model

AUDIO: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"format": "pcm16", "voice": "any"}}


def deltas(chunks: list[Any], index: int = 0) -> list[dict[str, Any]]:
    """All deltas of one answer, in order."""
    return [c["delta"] for chunk in chunks[:-1] for c in chunk["choices"] if c["index"] == index]


def joined(chunks: list[Any], index: int = 0) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(chunks, index))


def test_a_stream_is_to_the_letter(client: httpx2.Client) -> None:
    body = chat(image_url(), text("which digit?"), temperature=1.0, seed=3, n=3)
    chunks = events(client, body | {"stream_options": {"include_usage": True}})
    assert chunks[-1] == "[DONE]"
    told = chunks[:-1]
    assert {chunk["object"] for chunk in told} == {"chat.completion.chunk"}
    for field in ("id", "created", "model", "system_fingerprint"):
        assert len({chunk[field] for chunk in told}) == 1
    *said, usage = told
    assert usage["choices"] == []
    assert all(chunk["usage"] is None and len(chunk["choices"]) == 1 for chunk in said)
    whole = asked(client, body)
    assert usage["usage"] == whole["usage"]
    for index in range(3):
        mine = [chunk["choices"][0] for chunk in said if chunk["choices"][0]["index"] == index]
        assert mine[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
        assert [one["finish_reason"] for one in mine].count(None) == len(mine) - 1
        assert mine[-1]["delta"] == {}
        assert mine[-1]["finish_reason"] == whole["choices"][index]["finish_reason"]
        assert joined(chunks, index) == whole["choices"][index]["message"]["content"]
        assert len(mine) > 4  # it came in pieces


def test_without_include_usage_there_is_none(client: httpx2.Client) -> None:
    chunks = events(client, chat())
    assert not any("usage" in chunk for chunk in chunks[:-1])
    assert all(chunk["choices"] for chunk in chunks[:-1])


def test_streamed_logprobs_are_those_of_the_whole_answer(client: httpx2.Client) -> None:
    body = chat(logprobs=True, top_logprobs=2, max_tokens=7)
    chunks = [chunk["choices"][0] for chunk in events(client, body)[:-1]]
    streamed = [one for chunk in chunks if chunk["logprobs"] for one in chunk["logprobs"]["content"]]
    assert streamed == asked(client, body)["choices"][0]["logprobs"]["content"]


def test_sound_streams_as_raw_samples_and_ends_with_its_transcript(client: httpx2.Client) -> None:
    chunks = events(client, chat(text("say three"), **AUDIO, seed=1))
    audio = [delta["audio"] for delta in deltas(chunks) if "audio" in delta]
    assert len({part["id"] for part in audio}) == 1
    samples = b"".join(base64.b64decode(part["data"]) for part in audio if "data" in part)
    assert sum("data" in part for part in audio) > 1
    whole = asked(client, chat(text("say three"), **AUDIO, seed=1))
    frames = whole["usage"]["completion_tokens_details"]["audio_tokens"]
    assert len(samples) == 2 * 3 * 320 * frames  # 16 bits at 24 kHz
    assert np.abs(np.frombuffer(samples, "<i2")).max() > 300
    assert [set(part) for part in audio[-2:]] == [{"id", "transcript"}, {"id", "expires_at"}]
    assert deltas(chunks)[-1] == {}


def test_a_mixed_answer_streams_in_its_order() -> None:
    model, metrics = tiny_model(), Metrics()
    model.text_head = Scripted(ids("three", "<|image|>", 2, 1, "one", "<|end|>"))  # type: ignore[assignment]
    with (
        live(server_of({"tiny": local_model(model, metrics)}, metrics)) as running,
        running.client() as client,
    ):
        chunks = events(client, chat(modalities=["text", "image"], seed=1))
    kinds = [next(iter(delta), "") for delta in deltas(chunks)]
    assert [kind for at, kind in enumerate(kinds) if kind != kinds[at - 1]] == [
        "role",
        "content",
        "images",
        "content",
        "",
    ]
    (drawn,) = (delta["images"][0] for delta in deltas(chunks) if "images" in delta)
    assert pixels_of(drawn["image_url"]["url"]).shape == (8, 4, 3)
    assert joined(chunks) == "threeone"


def test_a_failure_in_mid_stream_is_the_last_event() -> None:
    model, metrics = tiny_model(), Metrics()
    original, calls = model.text_head.linear, 0

    class Breaking(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise RuntimeError("a secret of the server")
            return original(x)

    model.text_head.linear = Breaking()  # type: ignore[assignment]
    with (
        live(server_of({"tiny": local_model(model, metrics)}, metrics)) as running,
        running.client() as client,
    ):
        response = client.post("/v1/chat/completions", json=endless(stream=True))
        assert response.status_code == 200
        assert "secret" not in response.text
        *_, last = response.text.strip().split("\n\n")
        assert last.startswith('data: {"error":{"message":"the server failed')
        assert asked(client, chat())["choices"]  # it goes on


@pytest.mark.parametrize("body", [chat(max_tokens=0), chat() | {"model": "other"}])
def test_what_is_refused_is_refused_before_the_stream(client: httpx2.Client, body: dict[str, Any]) -> None:
    response = client.post("/v1/chat/completions", json=body | {"stream": True})
    assert response.status_code in (400, 404)
    assert response.json()["error"]["param"] in ("max_tokens", "model")


def test_time_to_the_first_token_is_measured(running: Live, client: httpx2.Client) -> None:
    def count() -> float:
        found = running.server.metrics.registry.get_sample_value(
            "omni_first_token_seconds_count", {"model": "tiny"}
        )
        return found or 0.0

    before = count()
    events(client, chat())
    assert count() == before + 1
