"""A server that is slow, busy, broken or wrong."""

import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from mmrag.core.errors import ConfigError, ModelError, Offline
from mmrag.embed.remote import OpenAiOptions
from mmrag.embed.remote.embedder import RemoteEmbedder
from mmrag.remote import Refused, ServerOptions
from mmrag.remote.retry import Pauses, asked_pause
from mmrag.testing.samples import text_item

from .conftest import (
    Act,
    FakeServer,
    Handler,
    cut_off,
    embed,
    hang_up,
    inputs_of,
    late,
    rows,
    status,
    vector_of,
)

Make = Callable[..., RemoteEmbedder]
ITEMS = [text_item(f"word {i}") for i in range(8)]


def right(found: np.ndarray) -> None:
    wanted = np.array([vector_of(f"word {i}") for i in range(len(found))])
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    "trouble",
    [status(500), status(502), status(503), status(529), status(429), status(408), cut_off, hang_up],
    ids=["500", "502", "503", "529", "429", "408", "cut off", "hung up"],
)
def test_trouble_that_passes_is_waited_for(make: Make, server: FakeServer, trouble: Act) -> None:
    server.script.extend([embed, trouble, trouble])
    embedder = make()
    right(embedder.embed_items(ITEMS).vectors)
    right(embedder.embed_items(ITEMS).vectors)
    assert len(server.bodies) == 4


def test_a_pause_that_the_server_asks_for_is_kept(make: Make, server: FakeServer) -> None:
    server.script.extend([status(429, Retry_After="0.3"), status(503, Retry_After_Ms="200")])
    start = time.monotonic()
    embedder = make()
    with pytest.raises(Offline):
        # A server that has answered is asked again as often as the recipe says.
        make(tries=1).embed_items(ITEMS)
    assert time.monotonic() - start < 0.2
    server.script.appendleft(status(429, Retry_After="0.3"))
    start = time.monotonic()
    right(embedder.embed_items(ITEMS).vectors)
    assert time.monotonic() - start > 0.5


def test_a_pause_that_is_too_long_is_an_error(make: Make, server: FakeServer) -> None:
    server.always = status(429, "Come back later", Retry_After="3600")
    with pytest.raises(Offline, match="Come back later") as caught:
        make().embed_items(ITEMS)
    assert "3600 s" in caught.value.fix
    assert len(server.bodies) == 1


def test_an_empty_purse_is_not_waited_for(make: Make, server: FakeServer) -> None:
    server.always = status(429, "You exceeded your quota", error_code="insufficient_quota")
    with pytest.raises(ModelError, match="quota"):
        make().embed_items(ITEMS)
    assert len(server.bodies) == 1


def test_trouble_that_stays_is_an_error_after_so_many_tries(make: Make, server: FakeServer) -> None:
    server.always = status(503, "loading model")
    with pytest.raises(Offline, match="503: loading model"):
        make(tries=4).embed_items(ITEMS)
    assert len(server.bodies) == 4


def test_silence_is_an_error(make: Make, server: FakeServer) -> None:
    server.always = late(1.0)
    start = time.monotonic()
    with pytest.raises(Offline, match=r"did not answer within 0\.1 s") as caught:
        make(timeout_s=0.1).embed_items(ITEMS)
    assert "timeout_s" in caught.value.fix
    assert time.monotonic() - start < 0.9


def test_no_server_is_said_soon_and_with_a_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = ServerOptions(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", wait_s=0.01)
        embedder = OpenAiOptions("hash", where, dim=4).build()
        with pytest.raises(Offline, match="cannot be reached") as caught:
            embedder.embed_items(ITEMS)
    assert "ollama serve" in caught.value.fix
    embedder.close()


@pytest.mark.parametrize("code", [401, 403, 404, 405])
def test_a_wrong_key_or_model_is_not_tried_again(make: Make, server: FakeServer, code: int) -> None:
    server.always = status(code, "model 'hash' not found")
    with pytest.raises(ModelError, match=f"{code}: model 'hash' not found"):
        make().embed_items(ITEMS)
    assert len(server.bodies) == 1


def test_vectors_in_another_order_find_their_inputs(make: Make, server: FakeServer) -> None:
    server.always = rows(lambda found: found[::-1])
    right(make().embed_items(ITEMS).vectors)


def test_answers_without_index_are_in_order(make: Make, server: FakeServer) -> None:
    server.always = rows(lambda found: [{"embedding": row["embedding"]} for row in found])
    right(make().embed_items(ITEMS).vectors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found[:-1], "7 vectors for 8 inputs"),
        (lambda found: [*found, found[0]], "9 vectors for 8 inputs"),
        (lambda found: [{**row, "index": 0} for row in found], "which vector belongs"),
        (lambda found: [{**row, "index": row["index"] + 1} for row in found], "which vector belongs"),
        (lambda found: [{**row, "embedding": "%%%"} for row in found], "neither numbers nor base64"),
        (lambda found: [{**row, "embedding": "AAA="} for row in found], "neither numbers nor base64"),
        (lambda found: [{**row, "embedding": {"a": 1}} for row in found], "neither numbers nor base64"),
        (lambda found: [{**row, "embedding": [[1.0]]} for row in found], "no list of numbers"),
        (lambda found: [{**row, "embedding": []} for row in found], "no list of numbers"),
        (lambda found: [{"index": row["index"]} for row in found], "no list of numbers"),
        (lambda found: "none", "no list `data`"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(
    make: Make, server: FakeServer, change: Any, said: str
) -> None:
    server.always = rows(change)
    with pytest.raises(ModelError, match=said):
        make().embed_items(ITEMS)


@pytest.mark.parametrize("content", [b"<html>Welcome</html>", b"[1]", b""])
def test_something_else_than_json_is_refused(make: Make, server: FakeServer, content: bytes) -> None:
    server.always = lambda handler, body: handler.say(200, content)
    with pytest.raises(ModelError, match="no JSON object"):
        make().embed_items(ITEMS)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None, 1e300])
def test_one_vector_of_no_numbers_fails_alone(make: Make, server: FakeServer, number: float | None) -> None:
    def spoil(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found[3]["embedding"][5] = number
        return found

    server.always = rows(spoil)
    found = list(make().embed_stream(ITEMS))
    if number == 1e300:
        assert found[3].vectors is not None
        assert float(np.linalg.norm(found[3].vectors)) == pytest.approx(1.0)
    else:
        assert "finite" in str(found[3].error)
    assert all(one.vectors is not None for one in found if one.position != 3)


def test_a_vector_of_zeros_has_no_direction(make: Make, server: FakeServer) -> None:
    server.always = rows(lambda found: [{**row, "embedding": [0.0] * 64} for row in found])
    assert all(one.error for one in make().embed_stream(ITEMS))


def refuse(words: str, code: int = 400) -> Act:
    def act(handler: Handler, body: dict[str, Any]) -> None:
        (status(code, f"bad input: {words}") if words in str(inputs_of(body)) else embed)(handler, body)

    return act


@pytest.mark.parametrize("code", [400, 413, 422, 500])
def test_inputs_that_the_server_refuses_fail_alone(make: Make, server: FakeServer, code: int) -> None:
    server.always = refuse("word 5", code)
    found = list(make(tries=3).embed_stream(ITEMS))
    assert [one.position for one in found] == list(range(8))
    assert [one.position for one in found if one.error] == [5]
    assert isinstance(found[5].error, Refused)
    assert "bad input" in str(found[5].error)
    with pytest.raises(Refused):
        make(tries=3).embed_items(ITEMS)


def test_a_server_that_refuses_everything_ends_the_run(make: Make, server: FakeServer) -> None:
    server.always = status(400, "dimensions is not supported")
    with pytest.raises(ModelError, match="dimensions is not supported"):
        list(make(concurrency=1).embed_stream(text_item(f"word {i}") for i in range(10_000)))
    assert len(server.bodies) < 10


def test_requests_run_side_by_side_but_no_more_than_allowed(make: Make, server: FakeServer) -> None:
    server.always = late(0.05)
    start = time.monotonic()
    right(make(batch_items=1, concurrency=4).embed_items(ITEMS).vectors)
    assert 1 < server.most <= 4
    assert time.monotonic() - start < 8 * 0.05


def test_threads_share_an_embedder(make: Make) -> None:
    embedder = make(batch_items=2)
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(embedder.embed_items(ITEMS).vectors)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for found in results:
        right(found)


def test_a_stream_that_is_left_early_stops_asking(make: Make, server: FakeServer) -> None:
    server.script.append(embed)
    server.always = status(503)
    embedder = make(batch_items=1, concurrency=1, wait_s=30.0, longest_wait_s=60.0)
    found = embedder.embed_stream(iter(ITEMS))
    next(found)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("mmrag-remote")]
    assert workers
    start = time.monotonic()
    found.close()
    for thread in workers:
        thread.join(10.0)
    # It was told to wait for 30 s.
    assert time.monotonic() - start < 10.0


@pytest.mark.parametrize("text", [None, "", "two words", "ключ", "a\nb"])
def test_a_file_without_a_key_is_refused(make: Make, tmp_path: Any, text: str | None) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="key") as caught:
        make(key_file=str(path)).embed_items(ITEMS)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "url", ["localhost:11434", "ftp://x/v1", "http://", "http://me:pw@host/v1", "http://h/v1?key=1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        ServerOptions(url)


@pytest.mark.parametrize(
    "options",
    [
        {"query": "no place"},
        {"document": ""},
        {"batch_items": 0},
        {"dim": 0},
        {"dim_by": "cut"},
        {"pictures": "fused", "images": "objects"},
        {"system": "x"},
        {"query_fields": {"input": "x"}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        OpenAiOptions("hash", ServerOptions("http://localhost/v1"), **options)


def test_pauses_grow_and_differ_but_repeat_with_the_seed() -> None:
    options = ServerOptions("http://localhost/v1", wait_s=1.0, longest_wait_s=5.0)
    found = [Pauses(options, seed=7).after(n) for n in range(1, 6)]
    again = Pauses(options, seed=7)
    assert found[0] == again.after(1)
    for n, pause in enumerate(found, start=1):
        most = min(2.0 ** (n - 1), 5.0)
        assert most / 2 <= pause <= most
    assert Pauses(options, seed=7).after(1) != Pauses(options, seed=8).after(1)
    assert 9.0 <= Pauses(options, seed=7).after(1, 9.0) <= 9.5


def test_a_pause_is_asked_for_in_three_ways() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert asked_pause({}) is None
    assert asked_pause({"retry-after": "20"}) == 20.0
    assert asked_pause({"retry-after-ms": "1500", "retry-after": "20"}) == 1.5
    assert asked_pause({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, now) == 30.0
    assert asked_pause({"retry-after": "Thu, 01 Jan 2026 11:00:30 GMT"}, now) == 0.0
    assert asked_pause({"retry-after": "soon"}, now) is None


def test_a_key_in_an_answer_is_hidden_where_the_message_is_cut(
    make: Make, server: FakeServer, tmp_path: Any
) -> None:
    path = tmp_path / "key"
    path.write_text("sk-0123456789abcdef")
    server.always = status(401, "x" * 290 + " sk-0123456789abcdef")
    with pytest.raises(ModelError) as caught:
        make(key_file=str(path)).embed_items(ITEMS)
    assert "sk-0" not in str(caught.value)
