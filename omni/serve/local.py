"""A checkpoint behind the server: one engine in a thread of its own, and the event loop in front of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine, Handle, Hear
from omni.inference.omni import Omni
from omni.inference.request import Event, Finished, Request, TokenLogprob
from omni.sequence import Image, Segment
from omni.serve.counts import counts_of
from omni.serve.errors import SERVER, ApiError, failed, invalid
from omni.serve.line_drawing import legible
from omni.serve.metrics import Metrics
from omni.serve.settings import Limits

RETRY_SECONDS = 1
"""When to come again after a full queue."""


@dataclass(frozen=True, eq=False)
class Told:
    """An event of an answer, with the tokens that were chosen since the one before."""

    event: Event | Exception
    logprobs: tuple[TokenLogprob, ...] = ()


class LocalModel:
    """A checkpoint under a name. ``start`` and ``stop`` are called on the event loop that it serves."""

    owner = "omni"

    def __init__(self, name: str, omni: Omni, config: EngineConfig, limits: Limits, metrics: Metrics) -> None:
        self.name, self.limits, self.metrics = name, limits, metrics
        self.created = int(time.time())
        self.engine = Engine(omni.model, omni.tokenizers, config)
        self.layout = self.engine.layout
        self.capacity = config.slots + limits.queue
        self.busy = 0
        """Answers in work or waiting."""
        self.fingerprint = f"fp_{self.layout.fingerprint}"
        self.encoders = ThreadPoolExecutor(1, f"encode-{name}")
        self._letters: deque[tuple[asyncio.Queue[tuple[Hashable, Told]], Hashable, Told]] = deque()
        self._called = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the engine's thread."""
        self._loop = asyncio.get_running_loop()
        self.engine.__enter__()

    def stop(self) -> None:
        """Cancel what is left and end the thread."""
        self.engine.__exit__()
        self.encoders.shutdown()

    def job(self, places: int, began: float | None = None) -> Job:
        """Room for ``places`` answers to one request.

        Raises:
            ApiError: 429 where the queue has none, 400 where it never has.
        """
        if places > self.capacity:
            raise invalid(f"{places} answers at once, at most {self.capacity} are possible", "n")
        if self.busy + places > self.capacity:
            self.metrics.refused.labels(self.name).inc()
            raise ApiError(
                429,
                f"{self.busy} answers are in work or waiting, and no more can wait: come again later",
                type_="rate_limit_error",
                code="queue_full",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        return Job(self, places, began or time.monotonic())

    def submit(self, request: Request, hear: Hear) -> Handle:
        """Encode a request and queue it with the engine; errors as of ``Engine.submit``."""
        return self.engine.submit(
            replace(request, prompt=[self._fitted(one) for one in request.prompt]), hear
        )

    def _fitted(self, segment: Segment) -> Segment:
        if not isinstance(segment, Image):
            return segment
        tokenizer = self.layout.tokenizers.image
        rows, _ = tokenizer.grid(*segment.pixels.shape[:2])
        return replace(segment, pixels=legible(segment.pixels, rows * tokenizer.config.patch_size))

    def occupy(self, places: int) -> None:
        """Take places, or give them back where negative."""
        self.busy += places
        self.metrics.busy.labels(self.name).set(self.busy)

    def post(self, queue: asyncio.Queue[tuple[Hashable, Told]], tag: Hashable, told: Told) -> None:
        """Pass something on to the event loop, from any thread; the loop is woken once for all that has gathered."""
        self._letters.append((queue, tag, told))
        if not self._called and self._loop is not None:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed, and nobody waits
                self._letters.clear()

    def _deliver(self) -> None:
        self._called = False
        while self._letters:
            queue, tag, told = self._letters.popleft()
            queue.put_nowait((tag, told))


class Job:
    """What one client asked for: places in the queue, answers, and a deadline. Closing it cancels what is not done."""

    def __init__(self, model: LocalModel, places: int, began: float) -> None:
        self.model, self.places, self.began = model, places, began
        self.deadline = began + model.limits.seconds
        self.handles: dict[Hashable, Handle] = {}
        """Answers by tag."""
        self._waiting = 0
        self._events: asyncio.Queue[tuple[Hashable, Told]] = asyncio.Queue()
        self._open = True
        model.occupy(places)

    def close(self) -> None:
        """Cancel what is not finished, and leave the queue."""
        if self._open:
            self._open = False
            for handle in self.handles.values():
                if handle.finished is None:
                    handle.cancel()
            self.model.occupy(-self.places)

    async def ask(self, tag: Hashable, request: Request) -> None:
        """Hand a request to the engine; its events come under ``tag``.

        Raises:
            ApiError: 400 for a prompt that can't be encoded or is too long, or a setting that can't be.
        """
        seconds = max(1e-3, self.deadline - time.monotonic())
        told = 0

        def hear(handle: Handle, event: Event | Exception) -> None:  # in the engine's thread
            nonlocal told
            logprobs = handle.row.logprobs
            news, told = tuple(logprobs[told:]), len(logprobs)
            self._count(handle, event)
            self.model.post(self._events, tag, Told(event, news))

        work = self.model.encoders.submit(self.model.submit, replace(request, seconds=seconds), hear)
        try:
            self.handles[tag] = await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            work.add_done_callback(_cancel)
            raise
        except ValueError as error:
            raise invalid(str(error)) from None
        self._waiting += 1

    def _count(self, handle: Handle, event: Event | Exception) -> None:
        if isinstance(event, Finished):
            self.model.metrics.answered(self.model.name, event.reason, *counts_of(handle))
        elif isinstance(event, Exception):
            self.model.metrics.answers.labels(self.model.name, "failed").inc()

    async def events(self) -> AsyncIterator[tuple[Hashable, Told]]:
        """Events of all answers as they come, until all that were asked for are finished.

        Raises:
            ApiError: the model failed, or the deadline has passed.
        """
        while self._waiting:
            tag, told = await self._events.get()
            if isinstance(told.event, Exception):
                raise failed() from told.event
            if isinstance(told.event, Finished):
                self._waiting -= 1
                if told.event.reason == "deadline":
                    raise ApiError(
                        504,
                        f"the answer was not done within {self.model.limits.seconds:g} s",
                        type_=SERVER,
                        code="deadline_exceeded",
                    )
            yield tag, told

    async def results(self) -> dict[Hashable, Finished]:
        """All answers by tag; errors as of ``events``."""
        found: dict[Hashable, Finished] = {}
        async for tag, told in self.events():
            if isinstance(told.event, Finished):
                found[tag] = told.event
        return found


def _cancel(work: Future[Handle]) -> None:
    """Of a client that went while its prompt was encoded."""
    if not work.cancelled() and work.exception() is None:
        work.result().cancel()
