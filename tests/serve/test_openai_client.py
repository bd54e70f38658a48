"""The official client: what its documentation shows works, and errors are its own."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image as PILImage

from tests.serve.live import Live
from tests.serve.talk import image_url, samples_of, wav

openai = pytest.importorskip("openai")


@pytest.fixture(scope="module")
def official(running: Live) -> Iterator[Any]:
    """The official client of the shared server."""
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_a_picture_is_described_as_in_openais_documentation(official: Any) -> None:
    picture = image_url(3, 240, 320)["image_url"]["url"]
    response = official.chat.completions.create(
        model="tiny",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Describe the trend in this chart."},
                    {"type": "image_url", "image_url": {"url": picture}},
                ],
            }
        ],
        max_tokens=500,
    )
    assert isinstance(response.choices[0].message.content, str)
    assert response.usage.prompt_tokens_details.audio_tokens == 0


def test_streams_and_models(official: Any) -> None:
    said = [{"role": "user", "content": "which digit?"}]
    stream = official.chat.completions.create(
        model="tiny", messages=said, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    whole = official.chat.completions.create(model="tiny", messages=said)
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [model.id for model in official.models.list()] == ["tiny"]
    assert official.models.retrieve("tiny").owned_by == "omni"


def test_pictures_speech_and_transcripts(official: Any) -> None:
    drawn = official.images.generate(model="tiny", prompt="draw three", size="64x32", n=2)
    with PILImage.open(io.BytesIO(base64.b64decode(drawn.data[1].b64_json))) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 32))
    spoken = official.audio.speech.create(model="tiny", voice="alloy", input="three", response_format="wav")
    assert samples_of(spoken.content)[1] == 8000
    with official.audio.speech.with_streaming_response.create(
        model="tiny", voice="alloy", input="three", response_format="pcm"
    ) as response:
        assert len(b"".join(response.iter_bytes())) % 2 == 0
    heard = official.audio.transcriptions.create(model="tiny", file=("clip.wav", wav()))
    assert isinstance(heard.text, str)


def test_errors_are_the_clients_own(official: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'other' does not exist") as missing:
        official.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="less than or equal to 2") as bad:
        official.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x"}], temperature=3
        )
    assert bad.value.param == "temperature"
