"""Descriptions by a server that takes chats."""

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from mmrag.caption import OpenAiCaptionOptions
from mmrag.caption.remote import OpenAiCaptioner
from mmrag.core.errors import ConfigError, Corrupt, Empty, ModelError, Offline, SourceError
from mmrag.core.protocols import Captioner
from mmrag.remote import ServerOptions
from mmrag.testing.samples import picture_of

from ..embed.remote.conftest import Act, FakeServer, Handler, status

Make = Callable[..., OpenAiCaptioner]


def picture(width: int) -> bytes:
    return picture_of("A2", width=width, height=40)


def say(words: object) -> Act:
    return lambda handler, body: handler.say(200, {"choices": [{"message": {"content": words}}]})


def tell_width(handler: Handler, body: dict[str, Any]) -> None:
    url = body["messages"][0]["content"][0]["image_url"]["url"]
    shown = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    say(f'It is {shown.width} wide.\n["word"]')(handler, body)


@pytest.fixture
def make(server: FakeServer) -> Iterator[Make]:
    made: list[OpenAiCaptioner] = []

    def build(**options: Any) -> OpenAiCaptioner:
        where = ServerOptions(server.url, wait_s=0.01, tries=3, timeout_s=5.0)
        made.append(OpenAiCaptionOptions(**{"model": "sees", "server": where, **options}).build())
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_each_picture_gets_its_description(make: Make, server: FakeServer) -> None:
    server.always = tell_width
    captioner = make()
    assert isinstance(captioner, Captioner)
    found = captioner.describe([picture(width) for width in range(100, 109)])
    assert found == [f"It is {width} wide.\nObjects: word." for width in range(100, 109)]
    body = server.bodies[0]
    assert body["temperature"] == 0.0
    assert body["max_tokens"] == 256
    assert body["messages"][0]["content"][1]["text"].startswith("Describe this picture")


def test_nothing_is_asked_for_no_pictures(make: Make, server: FakeServer) -> None:
    assert make().describe([]) == []
    assert not server.bodies


def test_options_reach_the_server(make: Make, server: FakeServer) -> None:
    server.always = tell_width
    captioner = make(
        prompt="What?",
        length_field="max_completion_tokens",
        max_new_tokens=9,
        temperature=None,
        fields={"seed": 1},
        max_side=50,
        objects=False,
    )
    assert captioner.describe([picture(100)]) == ['It is 50 wide.\n["word"]']
    body = server.bodies[0]
    assert body["max_completion_tokens"] == 9
    assert body["seed"] == 1
    assert body["messages"][0]["content"][1]["text"] == "What?"
    assert {"temperature", "max_tokens"}.isdisjoint(body)


def test_a_broken_picture_and_an_empty_answer_fail_alone(make: Make, server: FakeServer) -> None:
    server.script.append(say(None))
    server.always = tell_width
    where = ServerOptions(server.url, concurrency=1)
    found = make(server=where).describe([picture(100), b"no picture", picture(120)])
    assert isinstance(found[0], Empty)
    assert isinstance(found[1], Corrupt)
    assert found[2] == "It is 120 wide.\nObjects: word."


def test_a_refused_picture_fails_alone(make: Make, server: FakeServer) -> None:
    server.script.append(status(400, "unsafe picture"))
    server.always = tell_width
    where = ServerOptions(server.url, concurrency=1)
    first, second = make(server=where).describe([picture(100), picture(120)])
    assert isinstance(first, SourceError)
    assert "unsafe picture" in str(first)
    assert isinstance(second, str)


def test_a_server_that_sees_nothing_ends_the_run(make: Make, server: FakeServer) -> None:
    server.always = status(400, "this model takes no pictures")
    with pytest.raises(ModelError, match="takes no pictures"):
        make().describe([picture(100)] * 500)
    assert len(server.bodies) < 30


def test_trouble_ends_the_run_after_some_tries(make: Make, server: FakeServer) -> None:
    server.always = status(503, "loading")
    with pytest.raises(Offline):
        make().describe([picture(100)])
    server.always = lambda handler, body: handler.say(200, {"choices": []})
    with pytest.raises(ModelError, match="no message"):
        make().describe([picture(100)])


def test_parts_of_an_answer_are_joined(make: Make, server: FakeServer) -> None:
    server.always = say([{"type": "text", "text": "A red "}, {"type": "text", "text": "cube."}])
    assert make().describe([picture(100)]) == ["A red cube."]


def test_the_identity_names_model_and_prompt(make: Make) -> None:
    base = make().identity
    assert base.startswith("openai sees prompt=")
    assert make().identity == base
    others = [
        make(model="x"),
        make(prompt="x"),
        make(max_new_tokens=9),
        make(objects=False),
        make(max_side=9),
    ]
    assert len({base, *(other.identity for other in others)}) == 6


def test_fields_of_our_own_cannot_be_set(make: Make) -> None:
    with pytest.raises(ConfigError, match="messages"):
        make(fields={"messages": "x"})
