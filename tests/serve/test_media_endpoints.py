"""``/v1/images/generations``, ``/v1/audio/speech``, ``/v1/audio/transcriptions``, ``/v1/models`` and ``/metrics``."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image as PILImage

from tests.serve.live import Live
from tests.serve.talk import error_of, samples_of, wav

DRAW, SAY, HEAR = "/v1/images/generations", "/v1/audio/speech", "/v1/audio/transcriptions"
SPOKEN = {"model": "tiny", "input": "three", "voice": "any", "seed": 1}


def opened(content: str) -> PILImage.Image:
    return PILImage.open(io.BytesIO(base64.b64decode(content)))


def named_events(response: httpx2.Response) -> list[tuple[str, dict[str, Any]]]:
    """Events with names."""
    assert response.status_code == 200, response.text
    blocks = [block.split("\n", 1) for block in response.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_pictures_are_drawn_scaled_and_counted(client: httpx2.Client) -> None:
    body = {"prompt": "draw three", "n": 2, "seed": 1}
    answer = client.post(DRAW, json=body).json()
    first, second = (opened(one["b64_json"]) for one in answer["data"])
    assert np.asarray(first).shape != () and first.format == "PNG"
    assert first.tobytes() != second.tobytes()
    patches = sum(picture.width * picture.height // 16 for picture in (first, second))
    assert answer["usage"]["output_tokens_details"]["image_tokens"] == patches
    again = client.post(DRAW, json=body).json()
    assert again["data"] == answer["data"]
    wide = client.post(DRAW, json=body | {"size": "64x32", "output_format": "jpeg", "response_format": "url"})
    head, _, content = wide.json()["data"][0]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    scaled = opened(content)
    assert (scaled.format, scaled.size) == ("JPEG", (64, 32))
    large = client.post(DRAW, json=body | {"n": 1, "size": "1024x1024"}).json()
    assert (opened(large["data"][0]["b64_json"]).size, large["size"]) == ((1024, 1024), "1024x1024")


def test_pictures_stream(client: httpx2.Client) -> None:
    response = client.post(DRAW, json={"prompt": "draw three", "n": 2, "stream": True, "seed": 1})
    events = named_events(response)
    assert [name for name, _ in events] == ["image_generation.completed"] * 2
    assert opened(events[0][1]["b64_json"]).format == "PNG"
    assert events[0][1]["type"] == "image_generation.completed"


@pytest.mark.parametrize(
    ("format_", "type_"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("flac", "audio/flac"), ("wav", "audio/wav")],
)
def test_speech_is_a_file_of_its_format(client: httpx2.Client, format_: str, type_: str) -> None:
    response = client.post(SAY, json=SPOKEN | {"response_format": format_})
    assert response.headers["content-type"] == type_
    assert np.abs(samples_of(response.content)[0]).max() > 0.01


def test_speech_streams(client: httpx2.Client) -> None:
    raw = client.post(SAY, json=SPOKEN | {"response_format": "pcm"})
    assert raw.headers["transfer-encoding"] == "chunked"
    events = named_events(client.post(SAY, json=SPOKEN | {"response_format": "pcm", "stream_format": "sse"}))
    *pieces, (name, done) = events
    assert {piece for piece, _ in pieces} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(data["audio"]) for _, data in pieces) == raw.content
    assert name == "speech.audio.done"
    assert done["usage"]["total_tokens"] > done["usage"]["input_tokens"] > 0


def heard(client: httpx2.Client, **fields: str) -> httpx2.Response:
    return client.post(HEAR, data={"model": "tiny", **fields}, files={"file": ("clip.wav", wav())})


def test_transcripts_come_in_every_form(client: httpx2.Client) -> None:
    answer = heard(client).json()
    text, usage = answer["text"], answer["usage"]
    assert usage["input_token_details"]["audio_tokens"] == 5
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert heard(client, response_format="text").text == f"{text}\n"
    assert heard(client, response_format="srt").text == f"1\n00:00:00,000 --> 00:00:00,200\n{text}\n\n"
    assert heard(client, response_format="vtt").text == f"WEBVTT\n\n00:00:00.000 --> 00:00:00.200\n{text}\n\n"
    verbose = heard(client, response_format="verbose_json").json()
    assert (verbose["text"], verbose["duration"]) == (text, 0.2)
    said = heard(client, **{"include[]": "logprobs"}).json()["logprobs"]
    assert b"".join(bytes(one["bytes"]) for one in said).decode(errors="replace") == text


def test_transcripts_stream(client: httpx2.Client) -> None:
    *pieces, (name, done) = named_events(heard(client, stream="true"))
    assert name == "transcript.text.done"
    assert "".join(piece["delta"] for _, piece in pieces) == done["text"] == heard(client).json()["text"]


@pytest.mark.parametrize(
    ("path", "change", "param", "told"),
    [
        (DRAW, {"prompt": ""}, "prompt", "at least 1 character"),
        (DRAW, {"prompt": "x", "size": "big"}, "size", "pattern"),
        (DRAW, {"prompt": "x", "size": "9999x9999"}, "size", "more than 16 million pixels"),
        (DRAW, {"prompt": "x", "output_format": "bmp"}, "output_format", "'png', 'jpeg' or 'webp'"),
        (DRAW, {"prompt": "x", "n": 11}, "n", "less than or equal to 10"),
        (SAY, SPOKEN | {"response_format": "aac"}, "response_format", "'mp3', 'opus'"),
        (SAY, SPOKEN | {"speed": 2.0}, "speed", "less than or equal to 1"),
        (SAY, {"model": "tiny", "input": "x"}, "voice", "Field required"),
    ],
)
def test_what_can_not_be_is_refused(
    client: httpx2.Client, path: str, change: dict[str, Any], param: str, told: str
) -> None:
    error = error_of(client.post(path, json=change), 400)
    assert error["param"] == param
    assert told in error["message"]


def test_uploads_are_checked(client: httpx2.Client) -> None:
    assert error_of(client.post(HEAR, data={"model": "tiny"}), 400)["param"] == "file"
    bad = client.post(HEAR, data={"model": "tiny"}, files={"file": ("clip.wav", b"no sound")})
    assert error_of(bad, 400)["code"] == "invalid_audio_format"
    assert error_of(heard(client, response_format="diarized_json"), 400)["param"] == "response_format"
    assert error_of(heard(client, model="other"), 404)["code"] == "model_not_found"
    long = client.post(HEAR, data={"model": "tiny"}, files={"file": ("clip.wav", wav(seconds=2.5))})
    assert error_of(long, 400)["code"] == "audio_too_long"
    form = {"content-type": "multipart/form-data; boundary=x"}
    error_of(client.post(HEAR, content=b"--y\r\n", headers=form), 400)


def test_metrics_count_what_was_done(running: Live, client: httpx2.Client) -> None:
    heard(client)
    text = client.get("/metrics").text
    assert 'omni_requests_total{path="/v1/audio/transcriptions",status="200"}' in text
    assert 'omni_tokens_total{direction="read",modality="audio",model="tiny"}' in text
    assert 'omni_busy{model="tiny"} 0.0' in text
    assert client.get("/health").json() == {"status": "ok"}
    (card,) = client.get("/v1/models").json()["data"]
    assert card["id"] == running.local().name == "tiny"
