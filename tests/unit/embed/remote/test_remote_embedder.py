"""What a well-behaved server is sent, and what becomes of its answers."""

import base64
import io
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrag.core.errors import (
    ConfigError,
    Corrupt,
    MissingExtra,
    ModelError,
    QueryError,
    SourceError,
    UnsupportedModality,
)
from mmrag.core.protocols import StreamEmbedder
from mmrag.core.types import Item, Query
from mmrag.embed.content import Content, Picture
from mmrag.embed.remote.embedder import RemoteEmbedder
from mmrag.testing.embedder import EmbedderContract
from mmrag.testing.samples import picture_item, picture_of, text_item

from .conftest import DIM, FakeServer, rows, status, vector_of

Make = Callable[..., RemoteEmbedder]
PHOTO = picture_of("A2", encoding="JPEG")
SCREEN = picture_of("B7")


def unit(text: str) -> np.ndarray:
    numbers = np.array(vector_of(text))
    return numbers / np.linalg.norm(numbers)


class TestRemoteEmbedder(EmbedderContract):
    @pytest.fixture
    @classmethod
    def embedder(cls, make: Make) -> RemoteEmbedder:
        cls.maker = make
        return make()

    def make(self) -> RemoteEmbedder:
        return type(self).maker()


def test_it_is_a_stream_embedder(make: Make) -> None:
    assert isinstance(make(), StreamEmbedder)


def test_vectors_are_the_servers_scaled_to_length_one(make: Make) -> None:
    found = make().embed_items([text_item("blue wire"), text_item("red pump")])
    np.testing.assert_allclose(found.vectors, [unit("blue wire"), unit("red pump")], atol=1e-6)


def test_base64_gives_the_same_vectors(make: Make, server: FakeServer) -> None:
    items = [text_item("blue wire"), text_item("red pump")]
    plain = make().embed_items(items).vectors
    np.testing.assert_array_equal(make(encoding="base64").embed_items(items).vectors, plain)
    assert [body["encoding_format"] for body in server.bodies] == ["float", "base64"]


def test_requests_are_bounded_by_items_and_tokens(make: Make, server: FakeServer) -> None:
    make(batch_items=3).embed_items([text_item(f"word {i}") for i in range(8)])
    assert sorted(len(body["input"]) for body in server.bodies) == [2, 3, 3]
    server.bodies.clear()
    make(batch_tokens=10).embed_items([text_item("x" * 20) for _ in range(4)])
    assert [len(body["input"]) for body in server.bodies] == [2, 2]


def test_a_query_and_an_item_have_their_own_words(make: Make, server: FakeServer) -> None:
    embedder = make(
        query="Instruct: {instruction}\nQuery: {text}",
        document="passage: {text}",
        instruction="Find it.",
        tasks={"code": "Find code."},
        query_fields={"input_type": "query"},
        document_fields={"input_type": "passage"},
    )
    embedder.embed_items([text_item("blue {instruction}")])
    embedder.embed_queries(
        [Query.of("a {text}"), Query.of("b", task="code"), Query.of("c", instruction="Mine.")]
    )
    item, query = server.bodies
    assert item["input"] == ["passage: blue {instruction}"]
    assert item["input_type"] == "passage"
    assert query["input"] == [
        "Instruct: Find it.\nQuery: a {text}",
        "Instruct: Find code.\nQuery: b",
        "Instruct: Mine.\nQuery: c",
    ]
    assert query["input_type"] == "query"


def test_an_unknown_task_is_refused(make: Make) -> None:
    with pytest.raises(QueryError, match="nonsense"):
        make(query="{instruction} {text}", tasks={"code": "x"}).embed_queries(
            [Query.of("a", task="nonsense")]
        )


def test_an_unknown_task_of_a_content_fails_alone(make: Make) -> None:
    embedder = make(query="{instruction} {text}", tasks={"code": "x"})
    contents = [Content(("a",), "query", task="nonsense"), Content(("b",), "query", task="code")]
    bad, good = embedder.embed_contents(contents)
    assert isinstance(bad.error, QueryError)
    assert good.error is None


def test_an_instruction_without_a_place_is_told(make: Make) -> None:
    asked = Content(("a",), "query", "Find it.")
    (found,) = make().embed_contents([asked])
    assert found.notes == ("hash takes no instruction here: it was left out.",)
    (found,) = make(query="{instruction} {text}").embed_contents([asked])
    assert found.notes == ()


def test_instructions_that_no_query_would_carry_are_refused(make: Make) -> None:
    for given in ({"instruction": "Find it."}, {"tasks": {"code": "x"}}):
        with pytest.raises(ConfigError, match="no query would carry"):
            make(**given)


def test_long_words_are_cut_with_a_note(make: Make, server: FakeServer) -> None:
    (found,) = make(max_tokens=5).embed_stream([text_item("é" * 30)])
    assert server.bodies[0]["input"] == ["é" * 10]
    assert found.notes == ("Of 30 characters the first 10 were embedded.",)


def test_broken_unicode_is_sent_as_something(make: Make, server: FakeServer) -> None:
    make().embed_items([text_item("a \udc80 b"), text_item("  ")])
    assert server.bodies[0]["input"] == ["a ? b", "."]


def test_tokens_are_guessed(make: Make, server: FakeServer) -> None:
    assert make().count_tokens(["", "four", "fives", "継電器"]) == [0, 1, 2, 3]
    assert not server.bodies


def test_the_length_is_asked_where_it_is_not_said(make: Make, server: FakeServer) -> None:
    embedder = make(dim=None)
    assert embedder.dim == DIM
    assert embedder.identity["dim"] == str(DIM)
    assert len(server.bodies) == 1


def test_the_length_is_not_asked_where_it_is_said(make: Make, server: FakeServer) -> None:
    assert make().identity["dim"] == str(DIM)
    assert not server.bodies


def test_the_server_may_be_asked_for_shorter_vectors(make: Make, server: FakeServer) -> None:
    found = make(dim=16, dim_by="server").embed_items([text_item("blue wire")])
    assert server.bodies[0]["dimensions"] == 16
    short = np.array(vector_of("blue wire")[:16])
    np.testing.assert_allclose(found.vectors[0], short / np.linalg.norm(short), atol=1e-6)


def test_longer_vectors_may_be_cut_here(make: Make, server: FakeServer) -> None:
    found = make(dim=16, dim_by="cut").embed_items([text_item("blue wire")])
    assert "dimensions" not in server.bodies[0]
    short = np.array(vector_of("blue wire")[:16])
    np.testing.assert_allclose(found.vectors[0], short / np.linalg.norm(short), atol=1e-6)


@pytest.mark.parametrize("dim_by", ["model", "server"])
def test_another_length_is_an_error(make: Make, server: FakeServer, dim_by: str) -> None:
    server.always = rows(lambda found: [{**row, "embedding": [1.0, 2.0]} for row in found])
    with pytest.raises(ModelError, match="2 numbers, not of 64"):
        make(dim_by=dim_by).embed_items([text_item("x")])


def test_the_identity_says_what_items_depend_on(make: Make) -> None:
    base = dict(make().identity)
    assert (
        dict(
            make(
                query="{instruction}: {text}", instruction="x", batch_items=2, url="http://other:1/v1"
            ).identity
        )
        == base
    )
    for other in (
        {"model": "else"},
        {"dim": 32},
        {"document": "p: {text}"},
        {"document_fields": {"task": "passage"}},
        {"images": "objects"},
        {"max_tokens": 9},
        {"served_model": "hash-2"},
    ):
        assert dict(make(**other).identity) != base, other


def test_another_model_on_the_server_is_noticed(make: Make, server: FakeServer) -> None:
    def renamed(handler: object, body: dict[str, object]) -> None:
        rows(lambda found: found)(handler, {**body, "model": "hash-2"})

    embedder = make()
    embedder.embed_items([text_item("x")])
    server.always = renamed
    with pytest.raises(ModelError, match="'hash-2', not 'hash'"):
        embedder.embed_items([text_item("y")])
    with pytest.raises(ModelError, match="'hash-2', not 'hash'"):
        make(served_model="hash").embed_items([text_item("y")])
    assert make(served_model="hash-2").embed_items([text_item("y")]).dim == DIM


def test_a_key_travels_in_the_header_and_nowhere_else(make: Make, server: FakeServer, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret\n")
    embedder = make(key_file=str(key))
    embedder.embed_items([text_item("x")])
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "secret" not in str(dict(embedder.identity))
    server.always = status(401, "Incorrect API key: sk-secret")
    with pytest.raises(ModelError) as caught:
        embedder.embed_items([text_item("y")])
    assert "secret" not in str(caught.value)
    assert "key_file" in caught.value.fix


def pictured(data: bytes, words: str = "") -> tuple[Item, Callable[..., bytes]]:
    return picture_item(data, alt=words), lambda item, part: data


def test_a_server_of_words_gets_the_words_of_a_picture(make: Make, server: FakeServer) -> None:
    item, media = pictured(PHOTO, "the terminal")
    make().embed_items([item], media)
    assert server.bodies[0]["input"] == ["figure\nthe terminal"]


def test_pictures_as_objects(make: Make, server: FakeServer) -> None:
    item, media = pictured(SCREEN)
    make(images="objects").embed_items([text_item("words"), item], media)
    words, picture = server.bodies[0]["input"]
    assert words == {"text": "words"}
    assert decode(picture["image"]).size == (800, 400)


def test_pictures_as_a_modality_are_sent_apart_and_come_back_in_order(make: Make, server: FakeServer) -> None:
    item, media = pictured(SCREEN)
    items = [text_item("one"), item, text_item("two"), item]
    found = make(images="modality", batch_items=2).embed_items(items, media)
    assert sorted(body.get("modality", "") for body in server.bodies) == ["", "image"]
    np.testing.assert_allclose(found.vectors[[0, 2]], [unit("one"), unit("two")], atol=1e-6)
    np.testing.assert_array_equal(found.vectors[1], found.vectors[3])


def test_pictures_as_messages(make: Make, server: FakeServer) -> None:
    embedder = make(
        images="messages", image_words="Represent it.", system="{instruction}", instruction="Find."
    )
    item, media = pictured(PHOTO, "alt")
    embedder.embed_items([item, text_item("words")], media)
    picture, words = sorted((body["messages"] for body in server.bodies), key=lambda m: -len(m[1]["content"]))
    assert [part["type"] for part in picture[1]["content"]] == ["image_url", "text"]
    assert picture[1]["content"][1]["text"] == "Represent it."
    assert words[1]["content"] == [{"type": "text", "text": "words"}]
    server.bodies.clear()
    embedder.embed_queries([Query.of("cat")])
    assert server.bodies[0]["messages"][0] == {
        "role": "system",
        "content": [{"type": "text", "text": "Find."}],
    }


def test_words_and_picture_are_one_vector_with_messages_only(
    make: Make, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(PHOTO)
    query = Query.of("in red", image=path)
    make(images="messages").embed_queries([query])
    assert [part["type"] for part in server.bodies[0]["messages"][0]["content"]] == ["image_url", "text"]
    with pytest.raises(UnsupportedModality):
        make(images="objects").embed_queries([query])
    item, media = pictured(PHOTO, "alt words")
    make(images="messages", pictures="fused").embed_items([item], media)
    assert server.bodies[-1]["messages"][0]["content"][1]["text"] == "figure\nalt words"


def test_pictures_leave_without_what_the_camera_wrote(make: Make, server: FakeServer) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif[0x0112] = 6  # turned by 90 degrees
    out = io.BytesIO()
    Image.new("RGB", (400, 200), "red").save(out, "JPEG", exif=exif)
    assert b"SecretCamera" in out.getvalue()
    item, media = pictured(out.getvalue())
    make(images="objects", max_side=100).embed_items([item], media)
    url = server.bodies[0]["input"][0]["image"]
    assert b"SecretCamera" not in base64.b64decode(url.split(",")[1])
    assert decode(url).size == (50, 100)


def test_a_broken_picture_fails_alone(make: Make, server: FakeServer) -> None:
    good, bad = picture_item(PHOTO), picture_item(b"no picture", source="bad.png")

    def media(item: Item, part: object) -> bytes:
        return PHOTO if item is good else b"no picture"

    found = list(make(images="objects").embed_stream([good, bad, good], media))
    assert [one.position for one in found] == [0, 1, 2]
    assert isinstance(found[1].error, Corrupt)
    assert found[0].vectors is not None
    with pytest.raises(SourceError):
        make(images="objects").embed_items([bad], media)


def test_an_endless_stream_is_taken_bit_by_bit(make: Make) -> None:
    taken = count()

    def endless() -> Iterator[Item]:
        for i in taken:
            yield text_item(f"word {i}")

    found = make(batch_items=2, concurrency=2).embed_stream(endless())
    for i in range(50):
        one = next(found)
        assert one.position == i
        assert one.vectors is not None
        np.testing.assert_allclose(one.vectors[0], unit(f"word {i}"), atol=1e-6)
    found.close()
    assert next(taken) < 50 + 2 * 2 * 2 * 2


def test_a_rare_kind_does_not_hold_up_the_stream(make: Make, server: FakeServer) -> None:
    """A batch of pictures that never fills must be sent before too much waits for it."""

    def items() -> Iterator[Item]:
        yield picture_item(PHOTO)
        for i in count():
            yield text_item(f"word {i}")

    found = make(images="modality", batch_items=4, concurrency=1).embed_stream(items(), lambda *_: PHOTO)
    assert next(found).vectors is not None
    found.close()
    assert sum(len(body["input"]) for body in server.bodies) < 40


def test_contents_of_a_benchmark(make: Make) -> None:
    contents = [Content(("a b",), "query"), Content((Picture(lambda: PHOTO),), "document")]
    found = list(make(images="objects").embed_contents(contents))
    assert all(one.vectors is not None for one in found)


def test_without_the_client_library_the_extra_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"mmrag\[remote\]"):
        make().embed_items([text_item("x")])


def decode(url: str) -> Image.Image:
    kind, data = url.split(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{picture.format.lower()};base64"
    return picture
