"""The engine in a thread, and threads that ask it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.inference.request import Finished
from omni.model import OmniTransformer
from tests.inference.asking import MIXED, PROMPTS, alone, endless, engine_of, same
from tests.tiny import tiny_tokenizers


@pytest.fixture
def running(model: OmniTransformer) -> Iterator[Engine]:
    with engine_of(model, slots=4) as engine:
        yield engine


def test_threads_ask_an_engine_that_runs_in_one(model: OmniTransformer, running: Engine) -> None:
    answers: dict[int, Finished] = {}

    def ask(number: int) -> None:
        answers[number] = running.submit(MIXED[number]).result()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(MIXED))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, request in enumerate(MIXED):
        assert same(answers[number].segments, alone(model, request).segments), number


def test_a_running_engine_can_be_cancelled_and_closed(model: OmniTransformer) -> None:
    with engine_of(model, slots=2) as engine:
        first, second = engine.submit(endless(stream=True)), engine.submit(endless())
        next(iter(first))
        first.cancel()
        assert first.result().reason == "cancelled"
        assert second.finished is None
    assert second.result().reason == "cancelled"
    assert not engine.in_thread
    assert engine.submit(MIXED[4]).result().reason != "cancelled"  # driven by this thread again


def test_generate_batch_shares_the_engine(model: OmniTransformer) -> None:
    omni = Omni(model, tiny_tokenizers())
    (answer,) = omni.generate_batch([PROMPTS["text"]], "text", MIXED[4].options)
    assert same(answer, alone(model, MIXED[4]).segments)
