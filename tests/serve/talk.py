"""What tests say to a server, and how they read what it says."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx2
import numpy as np
import soundfile
from jaxtyping import Float, UInt8

from omni.media import encode_png, read_image
from omni.serve.sound import encode_sound
from tests.tiny import SAMPLE_RATE, picture, tiny_tokenizers, tone

CHAT = "/v1/chat/completions"
END = tiny_tokenizers().text.end


def image_url(digit: int = 3, height: int = 8, width: int = 8) -> dict[str, Any]:
    """A part with a picture."""
    content = base64.b64encode(encode_png(picture(digit, height, width))).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{content}"}}


def wav(digit: int = 4, seconds: float = 0.2) -> bytes:
    """A WAV file."""
    return encode_sound(tone(digit, seconds), SAMPLE_RATE, "wav")


def input_audio(content: bytes, format_: str = "wav") -> dict[str, Any]:
    """A part with a clip."""
    return {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(content).decode(), "format": format_},
    }


def text(said: str) -> dict[str, Any]:
    """A part with text."""
    return {"type": "text", "text": said}


def chat(*parts: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A request: one message of a user."""
    content = list(parts) or "which digit?"
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], **settings}


def endless(**settings: Any) -> dict[str, Any]:
    """A request whose answer does not end by itself."""
    return chat(logit_bias={str(END): -100}, max_tokens=500, **settings)


def asked(client: httpx2.Client, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    """The JSON that a chat request is answered with."""
    response = client.post(CHAT, json=body)
    assert response.status_code == status, response.text
    found = response.json()
    assert isinstance(found, dict)
    return found


def error_of(response: httpx2.Response, status: int) -> dict[str, Any]:
    """The error of a response, which has the one form."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    return dict(body["error"])


def events(client: httpx2.Client, body: dict[str, Any]) -> list[Any]:
    """The events of a stream, parsed; ``[DONE]`` is left as it is."""
    response = client.post(CHAT, json=body | {"stream": True})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return parsed(response.text)


def parsed(stream: str) -> list[Any]:
    """Events from their text."""
    assert stream.endswith("\n\n")
    found = []
    for block in stream[:-2].split("\n\n"):
        data = block.removeprefix("data: ")
        assert "\n" not in data and block.startswith("data: "), block
        found.append(data if data == "[DONE]" else json.loads(data))
    return found


def pixels_of(url: str) -> UInt8[np.ndarray, "height width 3"]:
    """The picture of a ``data:`` URL."""
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return read_image(base64.b64decode(data))


def samples_of(content: bytes) -> tuple[Float[np.ndarray, " W"], int]:
    """The samples of a sound file."""
    waveform, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    return waveform, rate
