"""What a recipe says of a captioner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from mmrag.core.errors import ConfigError, ModelError, NotFound
from mmrag.core.finding import Finding, Verdict
from mmrag.core.types import Scalar
from mmrag.core.weights import find_model, fingerprint, read_config
from mmrag.remote import ServerOptions

if TYPE_CHECKING:
    from mmrag.caption.mllm import MllmCaptioner
    from mmrag.caption.remote import OpenAiCaptioner

PROMPT = (
    "Describe this picture for a person who cannot see it and may search for it: what kind of picture it is, "
    "each object with its colour and place, what people do, and all legible words as they are written. Use "
    "plain sentences and say only what can be seen. End with one line: a JSON list of the objects, such as "
    '["red cube", "blue ball"].'
)
"""Our own words: those of LexiCLIP (Vision-Free Retrieval, EMNLP 2025) are not published."""

HINT = "the folder that holds its config.json as `model` of the captioner"
"""For who names a model that is not here."""

_OWN_FIELDS = frozenset({"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stream"})


@dataclass(frozen=True, slots=True)
class MllmCaptionOptions:
    """A captioner on this machine: any model that transformers loads for pictures and text.

    Args:
        model: A local folder, or a hub id that is looked for among what was downloaded.
        revision: Of a hub id: a commit, tag or branch.
        prompt: What is asked of each picture.
        objects: Whether a JSON list at the answer's end is read, and its objects listed after the words.
        template: The whole input, around `{image}` and `{prompt}`; None for the checkpoint's chat template.
        image_token: What stands for a picture in `template`; None for what the checkpoint's family writes.
        max_new_tokens: The longest answer.
        max_side: Larger pictures are made smaller first, in pixels.
        batch_items: The most pictures at once; fewer where memory ends.
        device: Such as `cuda:0`; '' for the first GPU, else the CPU.
        dtype: Of the weights; `auto` is float32 on a CPU, bfloat16 on a GPU.
    """

    model: str
    revision: str | None = None
    prompt: str = PROMPT
    objects: bool = True
    template: str | None = None
    image_token: str | None = None
    max_new_tokens: int = 256
    max_side: int = 1024
    batch_items: int = 4
    device: str = ""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    def __post_init__(self) -> None:
        _check_least(self, "max_new_tokens", "max_side", "batch_items")
        if self.template is not None and "{image}" not in self.template:
            raise ConfigError(
                "The template has no place for the picture.", fix="Write {image} there.", where="template"
            )

    def build(self) -> MllmCaptioner:
        """Return the captioner; the model is loaded by the first picture."""
        from mmrag.caption.mllm import MllmCaptioner

        return MllmCaptioner(self)

    def check(self) -> Iterator[Finding]:
        """Look whether the packages and the model's files are there; nothing is loaded."""
        for name in ("torch", "transformers"):
            try:
                yield Finding(name, "ok", version(name))
            except PackageNotFoundError:
                yield Finding(name, "missing", "not installed", "Run: pip install 'mmrag[local]'")
        try:
            folder = find_model(self.model, self.revision, hint=HINT)
            kind = read_config(folder).get("model_type")
            fingerprint(folder)
        except ModelError as error:
            verdict: Verdict = "missing" if isinstance(error, NotFound) else "broken"
            yield Finding("model", verdict, error.message, error.fix)
            return
        yield Finding("model", "ok", f"{kind} in {folder}")


@dataclass(frozen=True, slots=True)
class OpenAiCaptionOptions:
    """A captioner behind `/chat/completions` of a server.

    Args:
        model: What the server calls the model.
        server: Where the server is.
        prompt: What is asked of each picture.
        objects: Whether a JSON list at the answer's end is read, and its objects listed after the words.
        max_new_tokens: The longest answer.
        length_field: What the server calls that.
        temperature: 0 for the likeliest words; None leaves it to the server.
        fields: What else a request says.
        max_side: Larger pictures are made smaller before they are sent, in pixels.
    """

    model: str
    server: ServerOptions
    prompt: str = PROMPT
    objects: bool = True
    max_new_tokens: int = 256
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float | None = 0.0
    fields: Mapping[str, Scalar] = field(default_factory=dict)
    max_side: int = 1024

    def __post_init__(self) -> None:
        _check_least(self, "max_new_tokens", "max_side")
        if taken := _OWN_FIELDS & self.fields.keys():
            raise ConfigError(
                f"The request has {', '.join(sorted(taken))} already.", fix="Remove the line.", where="fields"
            )

    def build(self) -> OpenAiCaptioner:
        """Return the captioner; the server is asked when there is a picture."""
        from mmrag.caption.remote import OpenAiCaptioner

        return OpenAiCaptioner(self)

    def check(self) -> Iterator[Finding]:
        """Look whether the package, the key and the server are there."""
        return self.server.check()


def _check_least(options: object, *names: str) -> None:
    for name in names:
        if getattr(options, name) < 1:
            raise ConfigError(f"{name} is {getattr(options, name)}.", fix="Give 1 or more.", where=name)
