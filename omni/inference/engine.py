"""The engine: requests come at any time, share one model, and answer piece by piece.

    engine = Engine(omni.model, omni.tokenizers)
    for event in engine.submit(Request(prompt=[Text("say seven")], want="audio", stream=True)):
        ...

A script needs nothing else: whoever waits for an answer drives the steps. ``with engine:`` runs them in a thread
instead, as a server needs it. ``submit`` and ``cancel`` may be called from any thread in both cases.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from omni.inference.batcher import Batcher, EngineConfig
from omni.inference.causal import require_causal, require_head
from omni.inference.request import Event, Finished, Reason, Request
from omni.inference.row import Phase, Row
from omni.inference.stream import Stream
from omni.layout import Layout
from omni.model import OmniTransformer
from omni.tokenizers.bundle import Tokenizers

Hear = Callable[["Handle", "Event | Exception"], None]
"""Is told each event of an answer, or why there is none, in the thread that runs the steps."""


class Handle:
    """An answer that is being made. Iterating gives its events; the last one is ``Finished``."""

    def __init__(self, engine: Engine, row: Row, request: Request, hear: Hear | None = None) -> None:
        self.engine, self.row, self.hear = engine, row, hear
        self.stream = Stream(row) if request.stream else None
        self.deadline = time.monotonic() + request.seconds if request.seconds is not None else float("inf")
        self.cancelled = False
        self.finished: Finished | None = None
        """The last event, once it was made."""
        self._events: SimpleQueue[Event | Exception] = SimpleQueue()

    def __iter__(self) -> Iterator[Event]:
        """The events that were not taken yet, as they come.

        Raises:
            RuntimeError: the model failed while it answered.
        """
        while True:
            event = self._next()
            yield event
            if isinstance(event, Finished):
                return

    def result(self) -> Finished:
        """Wait for the whole answer; errors as of iterating. Events that were not taken are dropped."""
        if self.finished is None:
            for _ in self:
                pass
        assert self.finished is not None
        return self.finished

    def cancel(self) -> None:
        """Stop: nothing more is generated, and the slot is free at once (in a thread: after the step that runs)."""
        self.cancelled = True
        self.engine.wake()

    def put(self, event: Event | Exception) -> None:
        """Add an event."""
        if isinstance(event, Finished):
            self.finished = event
        if self.hear is not None:
            self.hear(self, event)
        else:
            self._events.put(event)

    def _next(self) -> Event:
        while True:
            try:
                event = self._events.get(timeout=0.1) if self.engine.in_thread else self._events.get_nowait()
            except Empty:
                if not self.engine.in_thread:
                    self.engine.step()
                continue
            if isinstance(event, Exception):
                raise RuntimeError(f"the model failed while it answered: {event}") from event
            return event

    def reason_to_stop(self) -> Reason | None:
        """Why the answer has to be cut now, if it has to."""
        if self.cancelled:
            return "cancelled"
        return "deadline" if time.monotonic() >= self.deadline else None


class Engine:
    """Answers requests of mixed modalities and lengths with one model."""

    def __init__(
        self, model: OmniTransformer, tokenizers: Tokenizers, config: EngineConfig | None = None
    ) -> None:
        """
        Raises:
            ValueError: a model that can't generate.
        """
        require_causal(model.config)
        self.layout = Layout(tokenizers, model.config.audio.layout)
        self.config = config or EngineConfig()
        self._batcher = Batcher(model, self.layout, self.config)
        self._inbox: deque[Handle] = deque()
        self._running: dict[Row, Handle] = {}
        self._stepping = threading.RLock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def submit(self, request: Request, hear: Hear | None = None) -> Handle:
        """Queue a request; first come, first served.

        With ``hear``, events are told instead of kept for whoever iterates; it must be quick and not raise.

        Raises:
            ValueError: a prompt that can't be encoded or is too long, or a setting that does not fit the model.
        """
        require_head(self._batcher.model.config, request.want)
        row = Row.of(self.layout, request)
        limit, length = self.config.positions, len(row.builder.modality)
        if limit and length >= limit:
            raise ValueError(f"a prompt of {length} positions, but prompt and answer have {limit} at most")
        if len(row.builders) > self.config.slots:
            raise ValueError(
                f"a guided answer takes {len(row.builders)} slots, but the engine has {self.config.slots}"
            )
        handle = Handle(self, row, request, hear)
        self._inbox.append(handle)
        self._wake.set()
        return handle

    def step(self) -> bool:
        """Do one step for all requests; returns whether there is more to do. Threads take turns.

        Raises:
            Exception: whatever the model raised; all requests that were running have failed.
        """
        with self._stepping:
            try:
                self._sweep()
                self._admit()
                for row in self._batcher.step():
                    self._tell(self._running[row])
            except Exception as error:
                for handle in self._running.values():
                    handle.put(error)
                self._running.clear()
                self._batcher = Batcher(self._batcher.model, self.layout, self.config)
                raise
            return bool(self._running or self._inbox)

    def wake(self) -> None:
        """Let cancelled requests end: at once, or in the thread that runs the steps."""
        self._wake.set()
        if not self.in_thread:
            with self._stepping:
                self._sweep()

    def _sweep(self) -> None:
        """Cut what was cancelled, is late or too long."""
        for handle in list(self._inbox):
            if reason := handle.reason_to_stop():
                self._inbox.remove(handle)
                self._finish(handle, reason)
        for handle in list(self._running.values()):
            if reason := handle.reason_to_stop():
                self._finish(handle, reason)

    def _admit(self) -> None:
        while self._inbox and len(self._inbox[0].row.builders) <= self._batcher.free:
            handle = self._inbox.popleft()
            self._running[handle.row] = handle
            self._batcher.add(handle.row)

    def _tell(self, handle: Handle) -> None:
        """Pass on what is new in an answer."""
        row, limit = handle.row, self.config.positions
        if row.phase is Phase.DONE:
            self._finish(handle, None)
        elif limit and len(row.builder.modality) >= limit:
            self._finish(handle, "length")
        elif handle.stream is not None:
            for event in handle.stream.news():
                handle.put(event)

    def _finish(self, handle: Handle, reason: Reason | None) -> None:
        row = handle.row
        if reason is not None:
            row.cut(reason)
        if self._running.pop(row, None) is not None:
            self._batcher.remove(row)
        for event in handle.stream.news() if handle.stream is not None else ():
            handle.put(event)
        positions = len(row.builder.modality) - row.prompt_length
        handle.put(Finished(row.reason, row.answer(), tuple(row.logprobs), row.prompt_length, positions))

    # ------------------------------------------------------------------ in a thread

    @property
    def in_thread(self) -> bool:
        """Whether a thread runs the steps."""
        return self._thread is not None

    def __enter__(self) -> Engine:
        """Start a thread that runs the steps."""
        assert self._thread is None, "the engine runs already"
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="omni-engine", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what is left and stop the thread."""
        self._closing = True
        self._wake.set()
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        for handle in itertools.chain(list(self._inbox), list(self._running.values())):
            handle.cancelled = True
        with self._stepping:
            self._sweep()

    def _loop(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                more = self.step()
            except Exception:
                continue  # the requests that it hit were told
            if not more:
                self._wake.wait()
