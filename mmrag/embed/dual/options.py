"""What a recipe says of a dual encoder: everything that its vectors depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mmrag.core.errors import ConfigError
from mmrag.core.finding import Finding
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.texts import Normalization

if TYPE_CHECKING:
    from mmrag.embed.local import LocalEmbedder

Architecture = Literal["clip", "siglip2", "clap", "blip"]
Taken = Literal["text", "image", "audio"]

TAKEN: Mapping[Architecture, tuple[Taken, ...]] = {
    "clip": ("text", "image"),
    "siglip2": ("text", "image"),
    "clap": ("text", "audio"),
    "blip": ("text", "image"),
}
"""What the towers of an architecture are for."""


@dataclass(frozen=True, slots=True)
class DualOptions:
    """A dual encoder as an embedder.

    Args:
        model: A local folder, or a hub id that is looked for among what was downloaded.
        architecture: What the checkpoint must be; a folder of another one is refused. `siglip2` takes SigLIP
            too.
        revision: Of a hub id: a commit, tag or branch.
        fusion: What becomes of words with a picture. `none` refuses them; `sum` adds the weighted outputs of
            both towers, as they are before normalisation; `feature` lets the text encoder look at the picture
            (BLIP).
        text_weight: Of the words in a sum.
        image_weight: Of the picture in a sum.
        pooled: Of `feature`: `cls` is the first token's last state, `pooler` what the checkpoint's pooler
            makes of it, as UniIR's BLIP_FF does.
        takes_instruction: Whether an instruction goes before a query's words, joined by a blank. A picture
            alone with an instruction is then a picture with words.
        instruction: What is used unless the caller or the task says otherwise.
        tasks: Named instructions for queries, chosen by `Query.task` or `task`.
        task: The task of every query that names none.
        normalize_text: `uniir` strips, drops outer quotes, starts with a capital, and ends with a full stop.
        lowercase: Whether words are put in lower case first, which SigLIP2 was trained with.
        max_text_tokens: The longest text, the tokenizer's own marks included; None for what the tower takes.
        longer: `cut` shortens the words and tells; `error` refuses.
        takes: What it embeds; empty for all that the architecture can.
        pictures: What of an item with a picture is embedded: the `image`, or `fused` with its words.
        dims: The lengths that a vector may be cut to (Matryoshka), the full one last; empty for the full one
            only.
        dim: Cut to this many numbers and normalised again; None for all.
        dtype: Of the weights; `auto` is float32 on a CPU, bfloat16 on a GPU.
        attn: The implementation of attention.
        languages: ISO 639-1 codes; empty for any.
        centres: A file of `mmrag embed report`: each modality's mean is taken away from its vectors.
        engine: Batches, threads, devices.

    Raises:
        ConfigError: The values do not fit together.

    Source: Wei et al., UniIR, ECCV 2024, section 4 (score and feature fusion).
    """

    model: str
    architecture: Architecture
    revision: str | None = None
    fusion: Literal["none", "sum", "feature"] = "none"
    text_weight: float = 1.0
    image_weight: float = 1.0
    pooled: Literal["cls", "pooler"] = "cls"
    takes_instruction: bool = False
    instruction: str = ""
    tasks: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    normalize_text: Normalization = "none"
    lowercase: bool = False
    max_text_tokens: int | None = None
    longer: Literal["cut", "error"] = "cut"
    takes: tuple[Taken, ...] = ()
    pictures: Literal["image", "fused"] = "image"
    dims: tuple[int, ...] = ()
    dim: int | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attn: Literal["auto", "sdpa", "eager"] = "auto"
    languages: tuple[str, ...] = ()
    centres: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        known = TAKEN[self.architecture]
        if not set(self.takes) <= set(known):
            raise ConfigError(
                f"{self.architecture} takes {' and '.join(known)}.",
                fix="Leave the others out.",
                where="takes",
            )
        if self.fusion == "feature" and self.architecture != "blip":
            raise ConfigError(
                f"{self.architecture} has no encoder of words that looks at a picture.",
                fix="Give fusion: sum.",
                where="fusion",
            )
        if self.fusion != "none" and not {"text", "image"} <= set(self.takes or known):
            raise ConfigError(
                f"fusion: {self.fusion} needs words and pictures.", fix="Give fusion: none.", where="fusion"
            )
        if self.pooled == "pooler" and self.fusion != "feature":
            raise ConfigError("A pooler is for fusion: feature.", fix="Remove the line.", where="pooled")
        if self.pictures == "fused" and self.fusion == "none":
            raise ConfigError("Nothing is fused.", fix="Give fusion: sum.", where="pictures")
        if (self.instruction or self.tasks) and not self.takes_instruction:
            raise ConfigError(
                "There are instructions that no query would carry.",
                fix="Give takes_instruction: true.",
                where="takes_instruction",
            )
        self._check_values()

    def _check_values(self) -> None:
        if self.text_weight <= 0 or self.image_weight <= 0:
            raise ConfigError(
                "A weight of a sum is zero or less.", fix="Give numbers above 0.", where="text_weight"
            )
        if self.max_text_tokens is not None and self.max_text_tokens < 4:
            raise ConfigError(
                f"max_text_tokens is {self.max_text_tokens}.", fix="Give 4 or more.", where="max_text_tokens"
            )
        if self.dim is not None and self.dim not in self.dims:
            known = ", ".join(map(str, self.dims))
            raise ConfigError(
                f"The model was not trained for vectors of {self.dim} numbers.",
                fix=f"Give one of {known}." if known else "Remove the line.",
                where="dim",
            )
        if self.task is not None and self.task not in self.tasks:
            raise ConfigError(
                f"There is no task {self.task!r}.",
                fix=f"Known: {', '.join(self.tasks) or 'none'}.",
                where="task",
            )

    @property
    def taken(self) -> frozenset[Taken]:
        """What it embeds."""
        return frozenset(self.takes or TAKEN[self.architecture])

    def build(self) -> LocalEmbedder:
        """Return the embedder; the model is loaded on first use."""
        from mmrag.embed.dual.build import build_embedder

        return build_embedder(self)

    @property
    def offers(self) -> tuple[str, ...]:
        """What a vector can be of."""
        return (*self.taken, "fused") if self.fusion != "none" else tuple(self.taken)

    def check(self) -> Iterator[Finding]:
        """Look at the model's folder and the packages that it needs."""
        from mmrag.embed.check import Wanted, check_checkpoint

        return check_checkpoint(Wanted(self.model, self.build, revision=self.revision, pictures=True))
