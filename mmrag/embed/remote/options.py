"""What a recipe says of an embedder on a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mmrag.core.errors import ConfigError
from mmrag.core.finding import Finding
from mmrag.core.types import Scalar
from mmrag.remote import ServerOptions

if TYPE_CHECKING:
    from mmrag.embed.remote.embedder import RemoteEmbedder

OWN_FIELDS = frozenset({"model", "input", "messages", "dimensions", "encoding_format"})


@dataclass(frozen=True, slots=True)
class OpenAiOptions:
    """An embedder behind `/embeddings` of a server.

    Vectors of one index must come from one model: what a server calls itself is compared with `served_model`,
    but that it serves the same weights tomorrow is the operator's word.

    Args:
        model: What the server calls the model.
        server: Where the server is.
        dim: The length of a vector; None asks the server when it is first needed.
        dim_by: `model`: the length is the model's own. `server`: the request asks for `dim` numbers. `cut`:
            longer vectors are cut to `dim`, which only models trained for it (Matryoshka) survive.
        served_model: What answers must name as their model; None for any one, which must then not change.
        query: How the words of a query are written, around `{text}` and `{instruction}`.
        document: How the words of an item are written, around `{text}`.
        instruction: The instruction of queries that bring none.
        tasks: Instructions by name, chosen by `Query.task`.
        query_fields: What else a request for queries says, such as `input_type: query`.
        document_fields: What else a request for items says.
        images: How pictures travel. `messages`: a chat of one turn, one a request, and words alone likewise
            (vLLM). `objects`: `{"image": ...}` and `{"text": ...}` as inputs (Jina). `modality`: pictures as
            inputs, and the field `modality: image` (Infinity). `none`: the server takes words only.
        image_words: The words beside a picture that comes without any; for `messages`.
        system: The system turn of `messages`, around `{instruction}`; '' for none.
        document_instruction: What stands for `{instruction}` in the system turn of items.
        pictures: What of an item with a picture is embedded: the `image`, or `fused` with its words.
        max_side: Larger pictures are made smaller before they are sent, in pixels.
        max_tokens: Longer words are cut, and a note tells; None sends all. A token is guessed as 4 bytes.
        encoding: How numbers travel: `base64` is a third of `float`, where the server knows it.
        batch_items: The most inputs of a request.
        batch_tokens: The most tokens of a request, guessed.
        languages: ISO 639-1 codes; empty for any.

    Raises:
        ConfigError: The values do not fit together.
    """

    model: str
    server: ServerOptions
    dim: int | None = None
    dim_by: Literal["model", "server", "cut"] = "model"
    served_model: str | None = None
    query: str = "{text}"
    document: str = "{text}"
    instruction: str = ""
    tasks: Mapping[str, str] = field(default_factory=dict)
    query_fields: Mapping[str, Scalar] = field(default_factory=dict)
    document_fields: Mapping[str, Scalar] = field(default_factory=dict)
    images: Literal["none", "messages", "objects", "modality"] = "none"
    image_words: str = ""
    system: str = ""
    document_instruction: str = ""
    pictures: Literal["image", "fused"] = "image"
    max_side: int = 1536
    max_tokens: int | None = None
    encoding: Literal["float", "base64"] = "float"
    batch_items: int = 64
    batch_tokens: int = 100_000
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("query", "document"):
            if "{text}" not in getattr(self, name):
                raise ConfigError(
                    f"{name} has no place for the words.", fix="Write {text} there.", where=name
                )
        for name in ("dim", "batch_items", "batch_tokens", "max_side", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}.", fix="Give 1 or more.", where=name)
        if self.dim is None and self.dim_by != "model":
            raise ConfigError(
                f"dim_by {self.dim_by} needs a length.", fix="Add the line: dim: ...", where="dim"
            )
        if self.pictures == "fused" and self.images != "messages":
            raise ConfigError(
                f"Words and pictures become one vector with images: messages only, not {self.images}.",
                fix="Set `pictures: image`.",
                where="pictures",
            )
        if self.images != "messages" and (self.system or self.image_words):
            raise ConfigError(
                "`system` and `image_words` are for images: messages.", fix="Remove them.", where="images"
            )
        if (self.instruction or self.tasks) and "{instruction}" not in self.query + self.system:
            raise ConfigError(
                "There are instructions that no query would carry.",
                fix="Write {instruction} into `query`.",
                where="query",
            )
        for name in ("query_fields", "document_fields"):
            if taken := OWN_FIELDS & getattr(self, name).keys():
                raise ConfigError(
                    f"The request has {', '.join(sorted(taken))} already.", fix="Remove the line.", where=name
                )

    def build(self) -> RemoteEmbedder:
        """Return the embedder; the server is asked when the first vector is needed."""
        from mmrag.embed.remote.embedder import RemoteEmbedder

        return RemoteEmbedder(self)

    @property
    def offers(self) -> tuple[str, ...]:
        """What a vector can be of."""
        if self.images == "none":
            return ("text",)
        return ("text", "image", "fused") if self.images == "messages" else ("text", "image")

    def check(self) -> Iterator[Finding]:
        """Look whether the package, the key and the server are there."""
        return self.server.check()
