"""``/v1/chat/completions`` without streaming: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import numpy as np
import pytest

from omni.inference.engine import Engine
from omni.inference.options import SamplingOptions
from omni.inference.request import Request
from omni.sequence import Image, Segment, Text
from omni.serve.chat_plan import wanted
from omni.serve.prompt import media_first
from omni.serve.schema.chat import ChatRequest
from tests.serve.live import LIMITS
from tests.serve.talk import (
    CHAT,
    asked,
    chat,
    endless,
    error_of,
    image_url,
    input_audio,
    pixels_of,
    samples_of,
    text,
    wav,
)
from tests.tiny import picture, tiny_tokenizers
from tests.tiny_model import tiny_model

AUDIO: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "any"}}


def alone(prompt: list[Segment], **settings: Any) -> str:
    """What the engine answers without a server."""
    options = SamplingOptions(**({"max_text": LIMITS.max_tokens} | settings))
    engine = Engine(tiny_model(), tiny_tokenizers())
    finished = engine.submit(Request(prompt=prompt, want="text", options=options)).result()
    return "".join(segment.text for segment in finished.segments if isinstance(segment, Text))


def content_of(answer: dict[str, Any], index: int = 0) -> str:
    return str(answer["choices"][index]["message"]["content"])


def test_the_answer_is_the_engines_own(client: httpx2.Client) -> None:
    answer = asked(client, chat(image_url(3), text("which digit?"), max_tokens=9))
    assert content_of(answer) == alone([Image(picture(3)), Text("which digit?")], max_text=9)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "tiny"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["finish_reason"] == "length"


def test_usage_counts_each_modality(client: httpx2.Client) -> None:
    usage = asked(client, chat(text("one"), image_url(3, 8, 16), input_audio(wav()), max_tokens=3))["usage"]
    words = len(tiny_tokenizers().text.encode("one"))
    # begin, user, picture (opening, 2 sizes, closing), clip (opening, closing), end, assistant
    details = usage["prompt_tokens_details"]
    assert details == {"text_tokens": words + 10, "image_tokens": 8, "audio_tokens": 5, "cached_tokens": 0}
    assert usage["prompt_tokens"] == words + 10 + 8 + 5
    assert usage["completion_tokens"] == usage["completion_tokens_details"]["text_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3


def test_a_question_before_its_picture_is_read_behind_it(client: httpx2.Client) -> None:
    first = asked(client, chat(text("which digit?"), image_url(3)))
    assert content_of(first) == content_of(asked(client, chat(image_url(3), text("which digit?"))))
    one, two = Image(picture(1)), Image(picture(2))
    said = Text("a")
    assert media_first([said, one, two]) == [one, two, said]
    kept: list[list[Segment]] = [[said, one, said], [one, said, two], [one, said], [said], [one]]
    assert [media_first(segments) for segments in kept] == kept


def test_roles_and_earlier_answers_are_part_of_the_prompt(client: httpx2.Client) -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "one plus one is?", "name": "ann"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [text("which digit?")]},
    ]
    answer = asked(client, {"model": "tiny", "messages": messages})
    prompt: list[Segment] = [
        Text("be brief", role="system"),
        Text("one plus one is?", role="user"),
        Text("two", role="assistant"),
        Text("which digit?", role="user"),
    ]
    assert content_of(answer) == alone(prompt)


def test_several_answers_differ_by_seed_and_come_again(client: httpx2.Client) -> None:
    body = chat(temperature=1.5, seed=5, n=3)
    first, again = asked(client, body), asked(client, body)
    texts = [content_of(first, index) for index in range(3)]
    assert [choice["index"] for choice in first["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts == [content_of(again, index) for index in range(3)]
    assert texts[1] == content_of(asked(client, chat(temperature=1.5, seed=6)))
    assert first["usage"]["prompt_tokens"] == asked(client, chat())["usage"]["prompt_tokens"]
    unseeded = [content_of(asked(client, chat(temperature=2.0))) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_stop_ends_before_the_string(client: httpx2.Client) -> None:
    body = chat(text("say three"), temperature=1.0, seed=1, max_tokens=24)
    whole = content_of(asked(client, body))
    stop = whole[4:6]
    answer = asked(client, body | {"stop": [stop, "never"]})
    assert content_of(answer) == whole[: whole.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_logprobs_belong_to_the_tokens(client: httpx2.Client) -> None:
    answer = asked(client, chat(logprobs=True, top_logprobs=3, max_tokens=5))
    said = answer["choices"][0]["logprobs"]["content"]
    assert len(said) == 5
    content = b"".join(bytes(one["bytes"]) for one in said).decode(errors="replace")
    assert content == content_of(answer)
    for one in said:
        top = [other["logprob"] for other in one["top_logprobs"]]
        assert top == sorted(top, reverse=True)
        assert len(top) == 3
        assert one["logprob"] == top[0]  # the likeliest was taken
    assert asked(client, chat())["choices"][0]["logprobs"] is None


def test_a_spoken_answer_has_sound_and_transcript_in_one_choice(client: httpx2.Client) -> None:
    answer = asked(client, chat(text("say three"), **AUDIO, seed=1))
    (choice,) = answer["choices"]
    audio = choice["message"]["audio"]
    waveform, rate = samples_of(base64.b64decode(audio["data"]))
    frames = answer["usage"]["completion_tokens_details"]["audio_tokens"]
    assert rate == 8000
    assert len(waveform) == frames * 320 > 0
    assert choice["message"]["content"] is None
    assert isinstance(audio["transcript"], str)
    assert audio["expires_at"] > answer["created"]
    earlier = {"role": "assistant", "audio": {"id": audio["id"]}}
    follow = chat(text("again"))
    follow["messages"] = [*chat(text("say three"))["messages"], earlier, *follow["messages"]]
    used = asked(client, follow)["usage"]["prompt_tokens_details"]
    assert used["audio_tokens"] == frames
    earlier["audio"] = {"id": "audio-unknown"}
    error = error_of(client.post(CHAT, json=follow), 400)
    assert error["param"] == "messages[1].audio.id"


@pytest.mark.parametrize("format_", ["wav", "mp3", "flac", "opus"])
def test_sound_comes_in_the_format_asked_for(client: httpx2.Client, format_: str) -> None:
    spoken = AUDIO | {"audio": {"format": format_, "voice": {"id": "any"}}}
    audio = asked(client, chat(text("say three"), **spoken, seed=1))["choices"][0]["message"]["audio"]
    waveform, _ = samples_of(base64.b64decode(audio["data"]))
    assert np.abs(waveform).max() > 0.01


def test_pictures_come_out_as_data_urls(client: httpx2.Client) -> None:
    message = asked(client, chat(text("draw three"), modalities=["image"], seed=1))["choices"][0]["message"]
    (drawn,) = message["images"]
    height, width, _ = pixels_of(drawn["image_url"]["url"]).shape
    assert height % 4 == width % 4 == 0
    assert message["content"] is None
    shown = chat(text("and now?"))
    shown["messages"].insert(
        0, {"role": "assistant", "content": [{k: drawn[k] for k in ("type", "image_url")}]}
    )
    details = asked(client, shown)["usage"]["prompt_tokens_details"]
    assert details["image_tokens"] == height * width // 16


@pytest.mark.parametrize(
    ("modalities", "want"),
    [
        (None, "text"),
        (["text"], "text"),
        (["text", "audio"], "audio"),
        (["audio"], "audio"),
        (["image"], "image"),
        (["text", "image"], None),
        (["text", "image", "audio"], None),
    ],
)
def test_modalities_say_what_comes(modalities: list[str] | None, want: str | None) -> None:
    assert wanted(ChatRequest.model_validate(chat(modalities=modalities))) == want


BIG = "x" * 10
REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"messages": []}, "messages", "at least 1 item"),
    ({"messages": "hello"}, "messages", "valid list"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]", "'tool'"),
    ({"messages": [{"role": "assistant"}]}, "messages[0]", "needs content or audio"),
    (chat({"type": "video_url"}), "messages[0].content[0]", "'video_url'"),
    (chat({"type": "file", "file": {"file_id": "x"}}), "messages[0].content[0]", "'file'"),
    (chat({"type": "text", "text": 3}), "messages[0].content[0].text", "valid string"),
    (
        chat({"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}),
        "messages[0].content[0].image_url.url",
        "only data: URLs",
    ),
    (
        chat({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}),
        "messages[0].content[0].image_url.url",
        "no base64",
    ),
    (
        chat({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
        "messages[0].content[0].image_url.url",
        "no picture of a known format",
    ),
    (chat(input_audio(b"RIFF")), "messages[0].content[0].input_audio.data", "no clip of a known format"),
    (chat(input_audio(wav(), "mp3")), "messages[0].content[0].input_audio.data", "but it is WAV"),
    (chat(input_audio(wav(), "ogg")), "messages[0].content[0].input_audio.format", "'wav' or 'mp3'"),
    (chat(input_audio(wav(seconds=2.1))), "messages[0].content[0].input_audio.data", "at most 2 s"),
    (chat(*[image_url()] * 17), "messages", "at most 16 are taken"),
    ({"modalities": ["video"]}, "modalities[0]", "'text', 'audio' or 'image'"),
    ({"modalities": ["text", "audio"]}, "audio", "format and voice"),
    ({**AUDIO, "audio": {"format": "aac", "voice": "x"}}, "audio.format", "'wav', 'mp3'"),
    ({"temperature": "warm"}, "temperature", "valid number"),
    ({"temperature": 3}, "temperature", "less than or equal to 2"),
    ({"n": 17}, "n", "at most 16"),
    ({"n": 0}, "n", "greater than or equal to 1"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"stop": [""]}, None, "empty text"),
    ({"stop": ["a"] * 5}, "stop", "at most 4"),
    ({"top_logprobs": 2}, None, "logprobs is off"),
    ({"logit_bias": {"330": 1.0}}, None, "not in the vocabulary of 330"),
    ({"frequency_penalty": 1.0}, "frequency_penalty", "less than or equal to 0"),
    ({"response_format": {"type": "json_object"}}, "response_format.type", "'text'"),
    ({"tool_choice": "required"}, "tool_choice", "'none' or 'auto'"),
    ({"max_token": 3}, "max_token", "not permitted"),
    (chat(text("which digit? " * 200)), None, "but prompt and answer have 600 at most"),
]


@pytest.mark.parametrize(("change", "param", "told"), REFUSED)
def test_what_can_not_be_is_400_and_names_the_place(
    client: httpx2.Client, change: dict[str, Any], param: str | None, told: str
) -> None:
    error = error_of(client.post(CHAT, json=chat() | change), 400)
    assert told in error["message"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def test_bodies_that_are_no_request_are_400(client: httpx2.Client) -> None:
    json_type = {"content-type": "application/json"}
    for content in (b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"model": "tiny"}'):
        error_of(client.post(CHAT, content=content, headers=json_type), 400)
    error_of(client.post(CHAT, content=b"{}", headers={"content-type": "text/plain"}), 400)
    surrogate = b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}], "\\udfff": 1}'
    error_of(client.post(CHAT, content=surrogate, headers=json_type), 400)
    error = error_of(client.post(CHAT, content=b'{"model": "\\ud800"}', headers=json_type), 404)
    assert error["code"] == "model_not_found"


def test_unknown_models_and_paths_are_404(client: httpx2.Client) -> None:
    error = error_of(client.post(CHAT, json=chat() | {"model": "other"}), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    error_of(client.get("/v1/nothing"), 404)
    error_of(client.get("/v1/models/other"), 404)
    error_of(client.get(CHAT), 405)


def test_what_has_no_effect_is_accepted(client: httpx2.Client) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    unused = {"tools": tools, "tool_choice": "auto", "store": True, "metadata": {"a": "b"}, "user": "ann"}
    neutral = {"frequency_penalty": 0, "presence_penalty": 0.0, "response_format": {"type": "text"}}
    assert content_of(asked(client, chat(**unused, **neutral))) == content_of(asked(client, chat()))


def test_an_endless_answer_ends_at_the_limit(client: httpx2.Client) -> None:
    answer = asked(client, endless() | {"max_tokens": None, "max_completion_tokens": 30})
    assert answer["usage"]["completion_tokens"] == 30
    assert asked(client, endless() | {"max_tokens": None})["usage"]["completion_tokens"] == LIMITS.max_tokens
