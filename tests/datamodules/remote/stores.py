"""Stores on loopback that misbehave on demand: a plain HTTP server, and a real S3 server (moto)."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from omni.datamodules.remote.folder import RetryConfig

HAVE_S3 = all(importlib.util.find_spec(name) for name in ("moto", "s3fs", "boto3", "flask", "flask_cors"))
QUICK = RetryConfig(attempts=4, first_wait=0.01, longest_wait=0.05, timeout=60.0)
Start = Callable[..., Any]
App = Callable[[dict[str, Any], Start], Iterable[bytes]]


class Store:
    """Files under one URL, and the faults that the next requests for them meet."""

    def __init__(self) -> None:
        self.faults: dict[tuple[str, str], deque[Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self.options: dict[str, Any] = {}
        self.put: Callable[[str, bytes], None] = lambda name, content: None
        self.delete: Callable[[str], None] = lambda name: None

    def fail(self, name: str, *faults: Any, method: str = "GET") -> None:
        """The next requests for a file: a status, "drop", "short", "flip", or something to call first."""
        self.faults.setdefault((method, name), deque()).extend(faults)

    def reads(self, name: str) -> int:
        """Requests for the content of a file so far."""
        return self.requests.count(("GET", name))

    def over(self, app: App) -> App:
        """The server ``app``, with the faults."""

        def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
            asked = (environ["REQUEST_METHOD"], environ["PATH_INFO"].rpartition("/")[2])
            self.requests.append(asked)
            waiting = self.faults.get(asked)
            fault = waiting.popleft() if waiting else None
            if callable(fault):
                fault()
            if isinstance(fault, int):
                start(f"{fault} Fault", [("Content-Length", "0")])
                return [b""]
            if fault not in ("drop", "short", "flip"):
                return app(environ, start)
            return faulty(app, environ, start, fault)

        return answer


def faulty(app: App, environ: dict[str, Any], start: Start, fault: str) -> Iterator[bytes]:
    """What ``app`` sends, cut in the middle, shorter by half, or with one byte changed."""
    head: list[Any] = []
    body = b"".join(app(environ, lambda *said: head.extend(said[:2])))
    status, headers = head
    keep = body[: len(body) // 2]
    if fault == "flip":
        start(status, headers)
        yield bytes([body[0] ^ 1]) + body[1:]
        return
    if fault == "short":
        headers = [pair for pair in headers if pair[0].lower() not in ("content-length", "content-range")]
        headers.append(("Content-Length", str(len(keep))))
    start(status, headers)
    yield keep
    if fault == "drop":
        raise ConnectionResetError("cut by the test")


def file_server(
    files: dict[str, bytes], ranges: bool = True, etags: bool = True, listing: bool = True
) -> App:
    """A WSGI server of ``files`` under ``/data/``, with a listing in HTML."""

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        folder, _, name = environ["PATH_INFO"].rpartition("/")
        if environ["PATH_INFO"] in ("/data", "/data/") and listing:
            page = "".join(f'<a href="{file}">{file}</a>' for file in files).encode()
            start("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(page)))])
            return [page]
        if folder != "/data" or name not in files:
            start("404 Not Found", [("Content-Length", "0")])
            return [b""]
        content, status = files[name], "200 OK"
        headers = [("ETag", hashlib.md5(content).hexdigest())] if etags else []
        asked = environ.get("HTTP_RANGE")
        if asked and ranges:
            first, last = (int(end) for end in asked.removeprefix("bytes=").split("-"))
            if first >= len(content):
                start("416 Range Not Satisfiable", [("Content-Length", "0")])
                return [b""]
            content, status = content[first : last + 1], "206 Partial Content"
        start(status, [*headers, ("Content-Length", str(len(content)))])
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    return answer


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # or boto waits a second for "100 Continue" with each upload

    def log_message(self, *_: object) -> None:
        pass

    def get_stderr(self) -> Any:
        return _Nothing()


class _Nothing:
    def write(self, _: str) -> None:
        pass

    flush = close = lambda self: None


@contextmanager
def serving(app: App) -> Iterator[str]:
    """The URL at which ``app`` answers."""
    server = make_server("127.0.0.1", 0, app, _Threaded, _Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def http_store(**how: bool) -> Iterator[Store]:
    """Files on a plain HTTP server."""
    store, files = Store(), dict[str, bytes]()
    with serving(store.over(file_server(files, **how))) as url:
        store.url, store.put, store.delete = f"{url}/data", files.__setitem__, files.__delitem__
        yield store


@contextmanager
def s3_server() -> Iterator[Callable[[], Store]]:
    """A real S3 server; each call makes a store in a bucket of its own, which alone has its faults."""
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    current: list[App] = []

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        return current[-1](environ, start)

    with serving(answer) as url:
        client = boto3.client("s3", endpoint_url=url, **keys)
        moto = DomainDispatcherApplication(create_backend_app)

        def make() -> Store:
            store, bucket = Store(), f"bucket-{len(current)}"
            current.append(store.over(moto))
            client.create_bucket(Bucket=bucket)
            store.url = f"s3://{bucket}/data"
            store.options = {
                "key": "key",
                "secret": "secret",
                "endpoint_url": url,
                "client_kwargs": {"region_name": "us-east-1"},
                "config_kwargs": {"retries": {"max_attempts": 0}},
            }
            store.put = lambda name, content: client.put_object(
                Bucket=bucket, Key=f"data/{name}", Body=content
            )
            store.delete = lambda name: client.delete_object(Bucket=bucket, Key=f"data/{name}")
            return store

        yield make
