"""Embed items and queries by a model on a server."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from mmrag.core.errors import MmragError, ModelError
from mmrag.core.identity import digest_json
from mmrag.core.protocols import Embedded
from mmrag.core.types import Modality
from mmrag.embed.content import Content
from mmrag.embed.embedder import ContentEmbedder
from mmrag.embed.remote.answers import Numbers, read_vectors, to_unit
from mmrag.embed.remote.options import OpenAiOptions
from mmrag.embed.remote.requests import Input, guess_tokens, write_body, write_input, write_payload
from mmrag.embed.remote.stream import Placed, stream
from mmrag.remote import Client, Refused

_PATH = "embeddings"
_PROBE = Content(("probe",), "document")
_TRIES_AGAIN = 2
"""How often a part of a batch is sent that was already sent as often as the recipe says."""

Ready = tuple[int, Input, Any]
"""An input with its position and what is sent for it."""


class RemoteEmbedder(ContentEmbedder):
    """Embeds with a model on a server; threads may share it.

    Nothing is asked before the first vector is needed, except the length of a vector where the recipe does
    not say it. The server's address is no part of the identity: the same model may move.

    Args:
        options: The recipe's parameters.
        seed: Of the random part of pauses between tries.
    """

    def __init__(self, options: OpenAiOptions, *, seed: int = 0) -> None:
        super().__init__()
        self._options = options
        self._client = Client(options.server, seed=seed)
        self._learning = threading.Lock()
        self._dim = options.dim
        self._served = options.served_model

    @property
    def batch_items(self) -> int:
        """How many items keep all connections busy."""
        return 2 * self._options.server.concurrency * self._options.batch_items

    @property
    def identity(self) -> Mapping[str, str]:
        """What the vectors of items depend on; how queries are written is left out, so that it may change."""
        options = self._options
        form = [
            options.document,
            options.document_instruction,
            dict(options.document_fields),
            options.image_words,
            options.system,
            options.pictures,
        ]
        return {
            "embedder": "openai",
            "model": options.served_model or options.model,
            "dim": str(self.dim),
            "dim_by": options.dim_by,
            "document": digest_json(form)[:16],
            "images": options.images if options.images == "none" else f"{options.images} {options.max_side}",
            "max_tokens": str(options.max_tokens or "all"),
        }

    @property
    def modalities(self) -> frozenset[Modality]:
        """What parts the server takes."""
        return frozenset({"text"} if self._options.images == "none" else {"text", "image"})

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages it knows; None for any."""
        return frozenset(self._options.languages) or None

    @property
    def tasks(self) -> frozenset[str]:
        """The names that `Query.task` may have."""
        return frozenset(self._options.tasks)

    @property
    def dim(self) -> int:
        """The length of a vector; the server is asked for one where the recipe does not say it.

        Raises:
            ModelError: The server gives none.
        """
        if self._dim is None:
            numbers = self._ask_probe(threading.Event())
            if numbers is None:
                raise ModelError("The server's vectors hold no numbers.", fix="Look into the server's log.")
            with self._learning:
                self._dim = len(numbers)
        return self._dim

    @property
    def fuses_items(self) -> bool:
        """Whether a picture is embedded together with the words of its item."""
        return self._options.pictures == "fused"

    def embed_contents(self, contents: Iterable[Content]) -> Generator[Embedded]:
        """Embed what is neither item nor query: the candidates of a benchmark."""
        return stream(contents, self._options, self._send)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Guess how many tokens each text takes: its UTF-8 bytes by four, rounded up."""
        return [guess_tokens(text) for text in texts]

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._client.close()

    def _send(self, batch: Sequence[Placed], stop: threading.Event) -> list[Embedded]:
        """Embed a batch; where an input is refused or has no picture any more, the others go on."""
        failed: list[Embedded] = []
        ready: list[Ready] = []
        for position, one in batch:
            try:
                ready.append((position, one, write_payload(one, self._options)))
            except MmragError as error:
                failed.append(Embedded(position, error=error))
        if not ready:
            return failed
        try:
            return failed + self._results(ready, stop)
        except Refused:
            # Where the server refuses everything, the recipe is to blame, not a million items one by one.
            self._ask_probe(stop)
            return failed + self._halved(ready, stop)

    def _halved(self, ready: Sequence[Ready], stop: threading.Event) -> list[Embedded]:
        """Embed a batch that was refused in halves, until the input that is to blame stands alone."""
        found: list[Embedded] = []
        for part in (ready[: len(ready) // 2], ready[len(ready) // 2 :]):
            if not part:
                continue
            try:
                found += self._results(part, stop, _TRIES_AGAIN)
            except Refused as error:
                alone = len(part) == 1
                found += [Embedded(part[0][0], error=error)] if alone else self._halved(part, stop)
        return found

    def _results(
        self, ready: Sequence[Ready], stop: threading.Event, tries: int | None = None
    ) -> list[Embedded]:
        body = write_body(ready[0][1], [payload for _, _, payload in ready], self._options)
        found = self._ask(body, len(ready), stop, tries)
        return [
            self._result(position, one, numbers)
            for (position, one, _), numbers in zip(ready, found, strict=True)
        ]

    def _result(self, position: int, one: Input, numbers: Numbers | None) -> Embedded:
        unit = None if numbers is None else to_unit(self._checked(numbers), self.dim)
        if unit is None:
            said = "The server gave a vector without finite numbers."
            return Embedded(position, error=ModelError(said, fix="Look into the server's log."))
        return Embedded(position, vectors=unit[None], notes=one.notes)

    def _ask(
        self, body: Mapping[str, Any], count: int, stop: threading.Event, tries: int | None = None
    ) -> list[Numbers | None]:
        answer = self._client.post(_PATH, body, stop, tries)
        self._check_served(answer.get("model"))
        return read_vectors(answer, count)

    def _ask_probe(self, stop: threading.Event) -> Numbers | None:
        probe = write_input(_PROBE, self._options)
        body = write_body(probe, [write_payload(probe, self._options)], self._options)
        return self._ask(body, 1, stop)[0]

    def _checked(self, numbers: Numbers) -> Numbers:
        longer = self._options.dim_by == "cut" and len(numbers) > self.dim
        if len(numbers) != self.dim and not longer:
            raise ModelError(
                f"The server gives vectors of {len(numbers)} numbers, not of {self.dim}.",
                fix="Check that it serves the right model, or correct `dim` and `dim_by` in the recipe.",
            )
        return numbers

    def _check_served(self, name: object) -> None:
        if not isinstance(name, str) or not name:
            return
        with self._learning:
            expected, self._served = self._served, self._served or name
        if expected and name != expected:
            raise ModelError(
                f"The server answers with the model {name!r}, not {expected!r}: vectors do not compare.",
                fix="Let it serve the old one, or name the new one in the recipe, and run: mmrag reindex.",
            )
