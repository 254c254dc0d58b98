"""What a recipe says of a multimodal embedder: everything that its vectors depend on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mmrag.core.errors import ConfigError, did_you_mean
from mmrag.core.finding import Finding
from mmrag.embed.adapters.options import AdapterOptions
from mmrag.embed.engine.options import EngineOptions

if TYPE_CHECKING:
    from mmrag.embed.local import LocalEmbedder

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_PLACES = {
    "wrap": ("content", "instruction"),
    "bare": ("content", "instruction"),
    **dict.fromkeys(("text", "image", "fused"), ("text", "image", "instruction")),
}

Architecture = Literal["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_next", "causal"]


@dataclass(frozen=True, slots=True)
class Form:
    """How one role's input is written.

    Args:
        wrap: The whole input; `{content}` is the content, `{instruction}` the instruction.
        bare: Instead of `wrap` where there is no instruction; None to use `wrap` with an empty one.
        text: The content of words alone; `{text}` are the words.
        image: The content of pictures alone; `{image}` are the pictures.
        fused: The content of words and pictures.
        instruction: What is used unless the caller or the task says otherwise. The forms of content may hold
            `{instruction}` too.
        takes_instruction: Whether a caller's or task's instruction is used at all; if not, `instruction` is.
            `task` for a task's only.
        instruction_in: Where it stands: in `wrap`, or before the words, joined by a blank. A picture alone
            with an instruction before its words is then a picture with words.
        dummy_pixels: The side of a black picture that is added to an input without one; 0 for none. Words
            stand with `{image}` then too.

    Raises:
        ConfigError: A part of the input has no place, or two, or there is a place for nothing.
    """

    wrap: str = "{content}"
    bare: str | None = None
    text: str = "{text}"
    image: str = "{image}"
    fused: str = "{image}{text}"
    instruction: str = ""
    takes_instruction: bool | Literal["task"] = True
    instruction_in: Literal["wrap", "text"] = "wrap"
    dummy_pixels: int = 0

    def __post_init__(self) -> None:
        needed = {
            "wrap": ("{content}",),
            "text": ("{text}",),
            "image": ("{image}",),
            "fused": ("{image}", "{text}"),
        }
        if self.bare is not None:
            needed["bare"] = ("{content}",)
        if self.dummy_pixels:
            needed["text"] = ("{image}", "{text}")
        for name, slots in needed.items():
            for slot in slots:
                if getattr(self, name).count(slot) != 1:
                    raise ConfigError(
                        f"{name!r} holds {slot} not once: {getattr(self, name)!r}.",
                        fix=f"Put one {slot} where it stands.",
                        where=name,
                    )
        for name, places in _PLACES.items():
            for place in _PLACE.findall(getattr(self, name) or ""):
                if place not in places:
                    raise ConfigError(
                        f"Nothing stands for {{{place}}} in {name!r}.",
                        fix=did_you_mean(place, places),
                        where=name,
                    )


@dataclass(frozen=True, slots=True)
class Task:
    """What a task asks for: an instruction for each role, None to keep the role's own."""

    query: str | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Pooling:
    r"""How states become one vector.

    Args:
        kind: `last` the last real token; `mean` over real tokens; `token_before` the state one before the
            first `token`; `vision_span` the mean from the vision-start to the vision-end token, both with it.
        token: For `token_before`.
        image_kind: Another kind for inputs with a picture; None for the same.
        without_instruction: Leave out of a query's mean as many leading positions as the tokens of the
            rendered text before this marker take, BOS and EOS counted (MM-Embed: "\nQuery: "); None for none.
    """

    kind: Literal["last", "mean", "token_before", "vision_span"] = "last"
    token: str | None = None
    image_kind: Literal["last", "mean", "token_before", "vision_span"] | None = None
    without_instruction: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What stands after the language model; its weights are read from the checkpoint.

    Args:
        kind: `residual_mlp` is x + W2 SELU(W1 x + b1) + b2 after pooling (ABC); `latent_attention` is
            NV-Embed's cross attention over learned latents before the mean (MM-Embed); `linear` a projection
            after pooling.
        prefix: Where its tensors stand in the checkpoint.
        hidden: The inner width of `residual_mlp`; the output of `linear`.
        latents: How many latents.
        heads: Attention heads of `latent_attention`.
        head_dim: Their width.
    """

    kind: Literal["none", "residual_mlp", "latent_attention", "linear"] = "none"
    prefix: str = ""
    hidden: int = 4096
    latents: int = 512
    heads: int = 8
    head_dim: int = 4096


@dataclass(frozen=True, slots=True)
class Pixels:
    """How large a picture is when the model sees it.

    Units:
        Pixels of area for Qwen families (visual tokens times the square of 28, or 32 for Qwen3-VL).

    Args:
        min: Smaller pictures are enlarged to at least this; None for the checkpoint's own.
        max: Larger ones are made smaller.
        fetch_min: A first resize with these limits, as published code does when it opens a picture; None for
            one resize.
        fetch_max: The same.
        squash: Resize to exactly this width and height before anything else.
        first_view: LLaVA-NeXT: the whole picture only, without its tiles.

    Raises:
        ConfigError: A size is zero, or the smallest above the largest.
    """

    min: int | None = None
    max: int | None = None
    fetch_min: int | None = None
    fetch_max: int | None = None
    squash: tuple[int, int] | None = None
    first_view: bool = False

    def __post_init__(self) -> None:
        for name in ("min", "max", "fetch_min", "fetch_max"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"pixels.{name} is {value}.", fix="Give 1 or more.", where=name)
        for low, high in (("min", "max"), ("fetch_min", "fetch_max")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ConfigError(
                    f"pixels.{low} {least} is above pixels.{high} {most}.",
                    fix="Exchange them.",
                    where=low,
                )
        if self.squash is not None and min(self.squash) < 1:
            raise ConfigError(
                f"pixels.squash is {self.squash}.", fix="Give a width and a height.", where="squash"
            )


@dataclass(frozen=True, slots=True)
class MllmOptions:
    """A multimodal LLM as an embedder.

    Args:
        model: A local folder, or a hub id that is looked for among what was downloaded.
        revision: Of a hub id: a commit, tag or branch.
        architecture: What the checkpoint must be; a folder of another one is refused.
        query: How queries are written.
        document: How items are written; None for the same as queries.
        tasks: Named instructions, chosen by `Query.task` or `task`.
        task: The task of everything that names none.
        image_token: What stands in the text for one picture.
        images_joined: What stands between several.
        add_special_tokens: Whether the tokenizer adds its own around (BOS, EOS).
        new_tokens: Tokens that are added to the tokenizer where it lacks them.
        normalize_text: `uniir` strips, drops outer quotes, starts with a capital, and ends with a full stop.
        empty_text: What an input without words and pictures is.
        instruction_full_stop: End an instruction with a full stop unless it ends with punctuation.
        pooling: How states become one vector.
        head: What follows.
        attention: `bidirectional` lets every token see all others.
        rope: `mrope` gives pictures their own three axes; `sequential` counts every token, as the published
            code of LamRA, GME and UNITE does; `none` for language models without a choice.
        padding_side: Of a batch; no vector depends on it.
        max_tokens: The longest input, pictures and template included.
        max_text_tokens: The longest words; None for no bound of their own.
        longer: `cut` shortens the words and tells; `error` refuses. Template and pictures are never cut.
        pixels: The size of pictures.
        takes: What it embeds.
        fuses: Whether words and a picture become one vector; without, an input with both is refused.
        max_pictures: The most pictures of one input; None for any number.
        pictures: What of an item with a picture is embedded: the `image`, or `fused` with its words.
        dims: The lengths that a vector may be cut to (Matryoshka), the full one last; empty for the full one
            only.
        dim: Cut to this many numbers and normalised again; None for all.
        dtype: Of the weights; `auto` is float32 on a CPU, bfloat16 on a GPU.
        attn: The implementation of attention.
        languages: ISO 639-1 codes; empty for any.
        adapters: Task adapters.
        centres: A file of `mmrag embed report`: each modality's mean is taken away from its vectors.
        engine: Batches, threads, devices.

    Raises:
        ConfigError: The values do not fit together.
    """

    model: str
    architecture: Architecture
    revision: str | None = None
    query: Form = field(default_factory=Form)
    document: Form | None = None
    tasks: Mapping[str, Task] = field(default_factory=dict)
    task: str | None = None
    image_token: str = "<|vision_start|><|image_pad|><|vision_end|>"
    images_joined: str = ""
    add_special_tokens: bool = False
    new_tokens: tuple[str, ...] = ()
    normalize_text: Literal["none", "uniir"] = "none"
    empty_text: str = ""
    instruction_full_stop: bool = False
    pooling: Pooling = field(default_factory=Pooling)
    head: Head = field(default_factory=Head)
    attention: Literal["causal", "bidirectional"] = "causal"
    rope: Literal["mrope", "sequential", "none"] = "mrope"
    padding_side: Literal["left", "right"] = "right"
    max_tokens: int = 8192
    max_text_tokens: int | None = None
    longer: Literal["cut", "error"] = "cut"
    pixels: Pixels = field(default_factory=Pixels)
    takes: tuple[Literal["text", "image"], ...] = ("text", "image")
    fuses: bool = True
    max_pictures: int | None = None
    pictures: Literal["image", "fused"] = "image"
    dims: tuple[int, ...] = ()
    dim: int | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attn: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    languages: tuple[str, ...] = ()
    adapters: AdapterOptions = field(default_factory=AdapterOptions)
    centres: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_text_tokens", "max_pictures"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}.", fix="Give 1 or more.", where=name)
        if not self.takes:
            raise ConfigError("The model takes nothing.", fix="Write takes: [text, image].", where="takes")
        if self.pictures == "fused" and not self.fuses:
            raise ConfigError(
                "Pictures are embedded with their words, and nothing is fused.",
                fix="Write fuses: true, or pictures: image.",
                where="pictures",
            )
        if "token_before" in (self.pooling.kind, self.pooling.image_kind) and not self.pooling.token:
            raise ConfigError(
                "pooling token_before names no token.", fix="Give token: '<emb>'.", where="pooling"
            )
        if self.dim is not None and self.dim not in self.dims:
            known = ", ".join(map(str, self.dims))
            raise ConfigError(
                f"The model was not trained for vectors of {self.dim} numbers.",
                fix=f"Give one of {known}."
                if known
                else "Remove the line, or name the trained lengths in dims.",
                where="dim",
            )
        marker = self.pooling.without_instruction
        if marker is not None and marker not in self.query.wrap.partition("{instruction}")[2]:
            raise ConfigError(
                f"The query's wrap {self.query.wrap!r} has no marker {marker!r} behind its instruction.",
                fix="Give what stands after {instruction} in wrap.",
                where="pooling",
            )
        if self.task is not None and self.task not in self.tasks:
            raise ConfigError(
                f"There is no task {self.task!r}.",
                fix=f"Known: {', '.join(self.tasks) or 'none'}.",
                where="task",
            )

    def form(self, role: Literal["query", "document"]) -> Form:
        """Return how a role is written."""
        return self.query if role == "query" or self.document is None else self.document

    def build(self) -> LocalEmbedder:
        """Return the embedder; the model is loaded on first use."""
        from mmrag.embed.mllm.build import build_embedder

        return build_embedder(self)

    @property
    def offers(self) -> tuple[str, ...]:
        """What a vector can be of."""
        return (*self.takes, "fused") if self.fuses and "image" in self.takes else self.takes

    def check(self) -> Iterator[Finding]:
        """Look at the model's folder, its adapters and the packages that it needs."""
        from mmrag.embed.check import check_checkpoint
        from mmrag.embed.mllm.wanted import wanted

        return check_checkpoint(wanted(self))
