"""The compare page in a real Chromium: `pip install playwright`, and a Chromium of the system.

python -m pytest -m slow tests/serve/test_page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.chat import read_chat
from omni.datamodules.quarantine import Quarantine
from omni.sequence import Audio, Image
from tests.datamodules.importers.imported import Told
from tests.serve.live import Live
from tests.serve.on_page import (
    CHROMIUM,
    FAR,
    FLAGS,
    answers,
    ask,
    bodies,
    column,
    expect,
    from_here,
    playwright,
    png,
    served,
    until,
    whole,
)
from tests.serve.talk import CHAT, END

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
KEY = "a-key"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium with a microphone that beeps."""
    with playwright.sync_playwright() as runner:
        found = runner.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def shop() -> Iterator[Live]:
    """The server without a key."""
    with served() as running:
        yield running


@pytest.fixture
def page(browser: Any, shop: Live) -> Iterator[Any]:
    """The page in a fresh profile. It asks nobody but the server, and has no errors of its own."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write", "microphone"])
    found, wrong = context.new_page(), list[str]()
    found.set_default_timeout(20_000)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    found.on("request", lambda one: None if from_here(one.url, shop) else wrong.append(one.url))
    found.goto(shop.url)
    expect(found.locator(".picker input")).to_have_count(2)
    yield found
    context.close()
    assert not wrong


def test_two_models_answer_a_picture_a_recording_and_a_text_at_once(page: Any, shop: Live) -> None:
    sent, order = bodies(page), list[str]()
    page.on("request", lambda one: order.append("asked") if one.url.endswith(CHAT) else None)
    page.on("requestfinished", lambda one: order.append("answered") if one.url.endswith(CHAT) else None)
    page.set_input_files("#file", {"name": "3.png", "mimeType": "image/png", "buffer": png()})
    page.wait_for_selector("#attached img")
    page.get_by_role("button", name="Record").click()
    page.wait_for_selector("#record[aria-pressed=true]")
    page.wait_for_timeout(700)
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_selector("#attached audio")
    ask(page, "which digit?")
    assert order == ["asked", "asked", "answered", "answered"]
    assert [body["model"] for body in sent] == ["one", "two"]
    for body in sent:
        parts = body["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["image_url", "input_audio", "text"]
        assert (parts[1]["input_audio"]["format"], parts[2]["text"]) == ("wav", "which digit?")
        assert body["stream"] and "temperature" not in body
    tokens = shop.server.metrics.registry.get_sample_value
    for model in ("one", "two"):
        for modality in ("text", "image", "audio"):
            labels = {"model": model, "direction": "read", "modality": modality}
            assert tokens("omni_tokens_total", labels), labels
    for letter, model in (("A", "one"), ("B", "two")):
        box = page.get_by_role("article", name=f"Answer of {letter}, {model}")
        facts = box.locator(".facts").inner_text()
        for word in ("First token", "Tokens/s", " in, ", " out", "Ended"):
            assert word in facts, facts


def test_pictures_and_clips_are_pasted_and_dragged(page: Any) -> None:
    put = """([kind, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "3.png", {type: "image/png"}));
        const options = {bubbles: true, cancelable: true};
        document.body.dispatchEvent(kind === "paste"
            ? new ClipboardEvent("paste", {...options, clipboardData: data})
            : new DragEvent("drop", {...options, dataTransfer: data}));
    }"""
    for count, kind in enumerate(("paste", "drop"), start=1):
        page.evaluate(put, [kind, list(png())])
        expect(page.locator("#attached img")).to_have_count(count)
    page.get_by_role("button", name="Remove file 1").click()
    assert page.locator("#attached img").count() == 1


def test_escape_cancels_both_answers_on_the_server(page: Any, shop: Live) -> None:
    def never_ending(route: Any) -> None:
        body = route.request.post_data_json | {"logit_bias": {str(END): -100}, "max_tokens": 500}
        route.continue_(post_data=json.dumps(body))

    page.route(f"**{CHAT}", never_ending)
    for letter in "AB":
        column(page, letter).get_by_label("Wanted").select_option(label="Text")
    before = {model: answers(shop, model, "cancelled") for model in ("one", "two")}
    page.locator("textarea").fill("go on")
    page.get_by_role("button", name="Send").click()
    for place in range(2):
        expect(page.locator(".content").nth(place)).not_to_be_empty()
    page.keyboard.press("Escape")
    whole(page)
    assert page.locator(".facts").all_inner_texts()[0].endswith("stopped")
    until(lambda: all(answers(shop, model, "cancelled") == count + 1 for model, count in before.items()))
    assert not page.locator(".vote").is_visible()
    page.unroute(f"**{CHAT}")
    page.get_by_role("button", name="Regenerate").first.click()
    whole(page)
    assert "stopped" not in page.locator(".facts").first.inner_text()


def test_votes_are_kept_and_exported(page: Any, shop: Live, tmp_path: Path) -> None:
    column(page, "A").get_by_label("Wanted").select_option(label="Picture")
    column(page, "B").get_by_label("Wanted").select_option(label="Speech")
    ask(page, "show or say a seven")
    assert page.locator(".answer img").count() == 1
    assert page.locator(".answer audio").count() == 1
    until(lambda: page.locator(".answer audio").evaluate("(clip) => clip.duration") > 0.1)
    before = shop.server.votes.counts()["best"]
    page.get_by_role("button", name="B is better").click()
    page.get_by_text("Vote kept").wait_for()
    assert page.get_by_role("button", name="B is better").get_attribute("aria-pressed") == "true"
    assert shop.server.votes.counts()["best"] == before + 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Export votes").click()
    out = tmp_path / "out.jsonl"
    download.value.save_as(out)
    chosen, rejected = list(read_chat(out, Quarantine(tmp_path, 0.0), Told(), name="votes"))[-2:]
    assert isinstance(chosen.segments[-1], Audio) and isinstance(rejected.segments[-1], Image)
    assert chosen.segments[-1].waveform.std() > 0


def test_each_column_remembers_its_own_answers(page: Any) -> None:
    column(page, "A").get_by_label("Wanted").select_option(label="Text")
    column(page, "B").get_by_label("Wanted").select_option(label="Picture")
    ask(page, "first")
    sent = bodies(page)
    ask(page, "second")
    assert [[message["role"] for message in body["messages"]] for body in sent] == [
        ["user", "assistant", "user"]
    ] * 2
    said = [body["messages"][1]["content"][0]["type"] for body in sent]
    assert said == ["text", "image_url"]
    page.reload()
    page.get_by_text("History").click()
    page.locator("#history li button").first.click()
    assert page.locator(".asked").all_inner_texts() == ["first", "second"]
    assert page.locator(".answer").count() == 4
    ask(page, "third")
    assert len(sent[-1]["messages"]) == 5


def test_a_link_restores_the_set_up(page: Any, shop: Live) -> None:
    page.get_by_label("Columns").select_option("3")
    column(page, "C").get_by_label("Temperature").fill("0.75")
    column(page, "C").get_by_label("Seed").fill("7")
    search = page.get_by_role("combobox", name="Model C")
    search.click()
    options = page.locator(".picker ul:visible [role=option]")
    assert options.count() == FAR + 2
    search.fill("far 41")
    assert options.all_inner_texts() == ["far-41"]
    search.press("Enter")
    page.locator("textarea").fill("what is it?")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Link copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".picker input")).to_have_count(3)
    assert page.locator("textarea").input_value() == "what is it?"
    assert page.get_by_role("combobox", name="Model C").input_value() == "far-41"
    assert column(page, "C").get_by_label("Temperature").input_value() == "0.75"
    assert column(page, "C").get_by_label("Seed").input_value() == "7"
    page.goto(f"{shop.url}/#%7Bnonsense")
    page.get_by_text("The link can't be read").wait_for()


def test_what_a_model_says_is_text(page: Any) -> None:
    said = "<img src=x onerror=alert(1)> & <b>bold</b>"
    event = {"choices": [{"index": 0, "delta": {"content": said}, "finish_reason": "stop"}]}
    stream = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    page.route(f"**{CHAT}", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
    ask(page, "<i>anything</i>")
    assert page.locator(".answer .said").all_inner_texts() == [said] * 2
    assert page.locator(".answer img, .answer b, .asked i").count() == 0


def test_errors_are_shown_in_their_column(page: Any) -> None:
    event = {"error": {"message": "the model failed on the way"}}

    def half(route: Any) -> None:
        if route.request.post_data_json["model"] == "one":
            route.continue_()
        else:
            route.fulfill(body=f"data: {json.dumps(event)}\n\n", content_type="text/event-stream")

    page.route(f"**{CHAT}", half)
    ask(page, "anything")
    assert page.locator(".error").all_inner_texts() == ["the model failed on the way"]
    assert not page.locator(".vote").is_visible()


def test_the_key_is_asked_for_and_kept_in_the_tab(browser: Any) -> None:
    with served(api_key=KEY) as locked:
        page = browser.new_page()
        page.goto(locked.url)
        page.get_by_label("This server needs its API key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key input")).to_have_value("")
        page.get_by_label("This server needs its API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator(".picker input").first).to_have_value("one")
        assert page.evaluate("Object.values(sessionStorage)") == [KEY]
        page.reload()
        expect(page.locator(".picker input").first).to_have_value("one")
        page.close()


@pytest.mark.parametrize(("width", "columns"), [(1280, 2), (400, 1)])
def test_nothing_is_wider_than_the_screen(page: Any, width: int, columns: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    ask(page, "a" * 300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lefts = {round(box.bounding_box()["x"]) for box in page.locator(".answer").all()}
    assert len(lefts) == columns
