"""What a recipe says of a model in the format of sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mmrag.core.errors import ConfigError
from mmrag.core.finding import Finding
from mmrag.embed.engine.options import EngineOptions

if TYPE_CHECKING:
    from mmrag.embed.local import LocalEmbedder


@dataclass(frozen=True, slots=True)
class SentenceTransformersOptions:
    """A model in the format of sentence-transformers.

    Args:
        model: A local folder with a modules.json, or a hub id that is looked for among what was downloaded.
        revision: Of a hub id: a commit, tag or branch.
        query: The prompt before queries; None for the model's own prompt `query`, if it has one.
        document: The prompt before items; None for the model's own `document`, `passage` or `corpus`.
        query_instruction: The prompt of a query that brings an instruction, around `{instruction}`. The
            words follow without a blank of their own.
        tasks: Prompts by name, chosen by `Query.task`, beside the model's own.
        dim: Cut to this many numbers and normalised again; None for all. Only models trained for it survive.
        max_tokens: The longest words; None for the model's own limit. Longer ones are cut, and a note tells.
        takes: What it embeds; the model must be able to.
        fuses: Whether words and a picture become one vector; the model must be able to.
        pictures: What of an item with a picture is embedded: the `image`, or `fused` with its words.
        max_side: Larger pictures are made smaller first, in pixels.
        remote_code: The digest of the model's own Python files, by which you say that you have read them.
            Without it no code of a model is run; the error message names it.
        dtype: Of the weights; `auto` is float32 on a CPU, bfloat16 on a GPU.
        languages: ISO 639-1 codes; empty for any.
        centres: A file of `mmrag embed report`: each modality's mean is taken away from its vectors.
        engine: Batches, threads, devices.

    Raises:
        ConfigError: The values do not fit together.
    """

    model: str
    revision: str | None = None
    query: str | None = None
    document: str | None = None
    query_instruction: str = "{instruction} "
    tasks: Mapping[str, str] = field(default_factory=dict)
    dim: int | None = None
    max_tokens: int | None = None
    takes: tuple[Literal["text", "image"], ...] = ("text",)
    fuses: bool = False
    pictures: Literal["image", "fused"] = "image"
    max_side: int = 1024
    remote_code: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    languages: tuple[str, ...] = ()
    centres: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        for name in ("dim", "max_tokens", "max_side"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}.", fix="Give 1 or more.", where=name)
        if not self.takes:
            raise ConfigError("The model takes nothing.", fix="Write takes: [text].", where="takes")
        if self.fuses and set(self.takes) != {"text", "image"}:
            raise ConfigError(
                "What fuses takes words and pictures.", fix="Write takes: [text, image].", where="takes"
            )
        if self.pictures == "fused" and not self.fuses:
            raise ConfigError(
                "Pictures are embedded with their words, and nothing is fused.",
                fix="Write fuses: true, or pictures: image.",
                where="pictures",
            )

    def build(self) -> LocalEmbedder:
        """Return the embedder; the model is loaded on first use."""
        from mmrag.embed.st.build import build_embedder

        return build_embedder(self)

    @property
    def offers(self) -> tuple[str, ...]:
        """What a vector can be of."""
        return (*self.takes, "fused") if self.fuses else self.takes

    def check(self) -> Iterator[Finding]:
        """Look at the model's folder and the packages that it needs."""
        from mmrag.embed.check import Wanted, check_folder

        return check_folder(Wanted(self.model, self.build, self.revision), "sentence-transformers")
