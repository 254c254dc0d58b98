"""A real HTTP server on this machine that embeds by hashing words, and misbehaves when it is told to."""

import base64
import hashlib
import json
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from mmrag.embed.remote import OpenAiOptions
from mmrag.embed.remote.embedder import RemoteEmbedder
from mmrag.remote import ServerOptions

DIM = 64
Act = Callable[["Handler", dict[str, Any]], None]


def vector_of(text: str) -> list[float]:
    """One number a word, by its hash: texts that share words are near."""
    numbers = np.zeros(DIM, np.float32)
    for word in text.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(digest))
        numbers += rng.standard_normal(DIM).astype(np.float32)
    return [float(number) for number in 3 * numbers]


def words_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeServer"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner = self.server
        with owner.lock:
            owner.bodies.append(body)
            owner.headers.append(dict(self.headers))
            owner.now += 1
            owner.most = max(owner.most, owner.now)
            act = owner.script.popleft() if owner.script else owner.always
        try:
            act(self, body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The client gave up: what the tests of time limits want.
        finally:
            with owner.lock:
                owner.now -= 1

    def say(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


class FakeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: deque[Act] = deque()
        self.always: Act = embed
        self.now = self.most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def inputs_of(body: dict[str, Any]) -> list[Any]:
    return [body["messages"]] if "messages" in body else body["input"]


def rows_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for i, value in enumerate(inputs_of(body)):
        numbers: Any = vector_of(words_of(value))[: body.get("dimensions", DIM)]
        if body["encoding_format"] == "base64":
            numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        rows.append({"object": "embedding", "index": i, "embedding": numbers})
    return rows


def embed(handler: Handler, body: dict[str, Any]) -> None:
    handler.say(200, {"object": "list", "model": body["model"], "data": rows_of(body)})


def status(code: int, message: str = "no", *, error_code: str = "", **headers: str) -> Act:
    said = {"error": {"message": message, "code": error_code or None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, body: handler.say(code, said, named)


def rows(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Act:
    """Answer with other rows than one should."""
    return lambda handler, body: handler.say(200, {"model": body["model"], "data": change(rows_of(body))})


def late(seconds: float) -> Act:
    def act(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        embed(handler, body)

    return act


def cut_off(handler: Handler, body: dict[str, Any]) -> None:
    """Promise more than is sent, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True


def hang_up(handler: Handler, body: dict[str, Any]) -> None:
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.shutdown()
    thread.join()
    fake.server_close()


@pytest.fixture
def make(server: FakeServer) -> Iterator[Callable[..., RemoteEmbedder]]:
    """Make an embedder of the server with short pauses."""
    made: list[RemoteEmbedder] = []

    def build(**options: Any) -> RemoteEmbedder:
        known = {"timeout_s", "tries", "wait_s", "longest_wait_s", "concurrency", "key_file", "url"}
        asked = {name: options.pop(name) for name in known & options.keys()}
        where = ServerOptions(**{"url": server.url, "wait_s": 0.01, "timeout_s": 5.0, **asked})
        made.append(OpenAiOptions(**{"model": "hash", "server": where, "dim": DIM, **options}).build())
        return made[-1]

    yield build
    for one in made:
        one.close()
