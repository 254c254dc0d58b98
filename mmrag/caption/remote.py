"""Describe pictures by a model on a server."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmrag.caption.answers import read_caption
from mmrag.caption.options import OpenAiCaptionOptions
from mmrag.core.errors import ModelError, SourceError
from mmrag.core.identity import digest_json
from mmrag.media.urls import data_url
from mmrag.remote import Client, Refused

_PATH = "chat/completions"


class OpenAiCaptioner:
    """Describes pictures by a model behind `/chat/completions`; threads may share it.

    Args:
        options: The recipe's parameters.
        seed: Of the random part of pauses between tries.
    """

    def __init__(self, options: OpenAiCaptionOptions, *, seed: int = 0) -> None:
        self._options = options
        self._client = Client(options.server, seed=seed)
        self._works = False

    @property
    def identity(self) -> str:
        """What the words depend on."""
        options = self._options
        asked = [options.prompt, options.objects, options.temperature, dict(options.fields)]
        return (
            f"openai {options.model} prompt={digest_json(asked)[:16]} "
            f"max_new_tokens={options.max_new_tokens} max_side={options.max_side}"
        )

    def describe(self, pictures: Sequence[bytes]) -> list[str | SourceError]:
        """Return the description of each encoded picture, or why there is none.

        Raises:
            ModelError: The server refuses us, or every picture.
            Offline: It cannot be reached.
        """
        if not pictures:
            return []
        stop = threading.Event()
        with ThreadPoolExecutor(self._options.server.concurrency, thread_name_prefix="mmrag-caption") as pool:
            running = [pool.submit(self._describe, picture, stop) for picture in pictures]
            try:
                return [one.result() for one in running]
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._client.close()

    def _describe(self, picture: bytes, stop: threading.Event) -> str | SourceError:
        try:
            url = data_url(picture, max_side=self._options.max_side)
        except SourceError as error:
            return error
        try:
            answer = self._ask(url, stop)
            self._works = True
        except Refused as error:
            self._check_works(stop)
            return SourceError(error.message, fix=error.fix)
        try:
            return read_caption(_words(answer), objects=self._options.objects)
        except SourceError as error:
            return error

    def _check_works(self, stop: threading.Event) -> None:
        """Raise what the server says to a plain white square: then it refuses every picture."""
        if not self._works:
            self._ask(data_url(_white_square(), max_side=_SQUARE), stop)
            self._works = True

    def _ask(self, url: str, stop: threading.Event) -> dict[str, Any]:
        options = self._options
        content = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": options.prompt},
        ]
        body: dict[str, Any] = {
            "model": options.model,
            "messages": [{"role": "user", "content": content}],
            options.length_field: options.max_new_tokens,
            **options.fields,
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        return self._client.post(_PATH, body, stop)


_SQUARE = 64


def _white_square() -> bytes:
    from PIL import Image

    from mmrag.media.pictures import encode_png

    return encode_png(Image.new("RGB", (_SQUARE, _SQUARE), "white"))


def _words(answer: Mapping[str, Any]) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise ModelError(
            "The server's answer has no message.",
            fix="Check that `url` leads to an interface like OpenAI's /v1/chat/completions.",
        ) from error
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    # None: a filter of the server's, or a refusal.
    return str(content or "")
