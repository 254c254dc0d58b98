"""Write an input as its model was trained to read it: pure text, before tokens and pixels."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mmrag.core.errors import UnsupportedModality
from mmrag.core.types import Modality
from mmrag.embed.content import Content, Picture
from mmrag.embed.inputs import check_task
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.texts import add_instruction, end_sentence, normalize, protect

_SLOT = re.compile(r"\{(instruction|image|text)\}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """An input as the tokenizer gets it.

    Args:
        text: The whole; it holds the recipe's `image_token` once a picture.
        pictures: The pictures, in the order of their tokens.
        text_span: Where the caller's words stand in `text`, the only part that may be shortened; None without
            words.
        instruction_prefix: What stands before the marker of `pooling.without_instruction`; None where the
            whole input is pooled.
        dummy_pixels: The side of the black picture to make for the one image token; 0 where there is none.
        notes: What was changed in the caller's words.
        modalities: What the model reads: a picture with its instruction among the words has words.
    """

    text: str
    pictures: tuple[Picture, ...] = ()
    text_span: tuple[int, int] | None = None
    instruction_prefix: str | None = None
    dummy_pixels: int = 0
    notes: tuple[str, ...] = ()
    modalities: frozenset[Modality] = frozenset()


def render(content: Content, options: MllmOptions, specials: Collection[str] = ()) -> Rendered:
    """Write an input in the form of its role.

    Blank words count as none: a picture with blank words is a picture alone. Several words are joined by a
    blank; pictures stand where the template has them.

    Args:
        content: The input.
        options: The recipe.
        specials: The tokenizer's special tokens. In words and instruction they are spelled apart, so that a
            text that says "<|image_pad|>" never becomes a picture's place.

    Raises:
        UnsupportedModality: The recipe does not take these parts, or not together, or not so many pictures.
        QueryError: The recipe has no such task.
    """
    form = options.form(content.role)
    guard = _Guard({*specials, options.image_token, *options.new_tokens, options.pooling.token or ""})
    pictures = tuple(part for part in content.parts if isinstance(part, Picture))
    words = " ".join(part for part in content.parts if isinstance(part, str) and part.strip())
    instruction = guard(choose_instruction(content, options))
    before = ""
    if form.instruction_in == "text" and instruction:
        before = guard(normalize(instruction, options.normalize_text))
        instruction = ""
    written = guard(add_instruction(before, words, options.normalize_text))
    _refuse(bool(written), len(pictures), options)

    inner = form.text if not pictures else form.fused if written else form.image
    wrap = form.bare if form.bare is not None and not instruction else form.wrap
    dummy = 0 if pictures else form.dummy_pixels
    parts = {
        "instruction": instruction,
        "image": options.images_joined.join([options.image_token] * (len(pictures) or bool(dummy))),
        "text": written if written or pictures else options.empty_text,
    }
    text, starts = _fill(wrap.replace("{content}", inner), parts)
    span = None
    if words and written and "text" in starts:
        # The words are shortened, never the instruction before them.
        own = len(before) + 1 if before and written.startswith(f"{before} ") else 0
        span = (starts["text"] + own, starts["text"] + len(written))
    prefix, marker = None, options.pooling.without_instruction
    if marker is not None and instruction and content.role == "query":
        # Searched for after the instruction, which may itself hold the marker.
        prefix = text[: text.index(marker, starts["instruction"] + len(instruction))]
    notes = guard.notes()
    placed = form.takes_instruction is True and (before or "instruction" in starts)
    if content.instruction and content.instruction.strip() and not placed:
        notes += (f"{options.model} takes no instruction here: it was left out.",)
    read: dict[Modality, bool] = {"text": bool(written) or not pictures, "image": bool(pictures)}
    modalities = frozenset(kind for kind, there in read.items() if there)
    return Rendered(text, pictures, span, prefix, dummy, notes, modalities)


def shorten(rendered: Rendered, characters: int) -> Rendered:
    """Keep so many of the caller's characters, from their start; template, instruction and pictures stay."""
    if rendered.text_span is None:
        return rendered
    start, end = rendered.text_span
    stop = min(end, start + max(characters, 0))
    return replace(rendered, text=rendered.text[:stop] + rendered.text[end:], text_span=(start, stop))


def choose_instruction(content: Content, options: MllmOptions) -> str:
    """Return the instruction of an input: the caller's, else the task's, else the form's own.

    A caller's blank instruction asks for the form's own, whatever the task. Where the form takes none, its
    own stands always.

    Raises:
        QueryError: The recipe has no such task.
    """
    form = options.form(content.role)
    name = content.task if content.task is not None else options.task
    check_task(name, options.tasks)
    chosen = content.instruction if form.takes_instruction is True else None
    if chosen is None and name is not None and form.takes_instruction:
        chosen = getattr(options.tasks[name], content.role)
    if chosen is None or not chosen.strip():
        return form.instruction
    return end_sentence(chosen) if options.instruction_full_stop else chosen


class _Guard:
    """Spells special tokens apart and remembers which there were."""

    def __init__(self, specials: Collection[str]) -> None:
        self._specials = specials
        self._found: dict[str, None] = {}

    def __call__(self, text: str) -> str:
        text, found = protect(text, self._specials)
        self._found |= dict.fromkeys(found)
        return text

    def notes(self) -> tuple[str, ...]:
        if not self._found:
            return ()
        return (f"Read as plain characters, for the model gives them a meaning: {' '.join(self._found)}",)


def _fill(template: str, parts: Mapping[str, str]) -> tuple[str, dict[str, int]]:
    """Put the parts into their places in one pass, and tell where each begins.

    In one pass, a `{text}` inside of somebody's words stays what it is.
    """
    pieces: list[str] = []
    starts: dict[str, int] = {}
    length = at = 0
    for slot in _SLOT.finditer(template):
        literal = template[at : slot.start()]
        starts[slot[1]] = length + len(literal)
        pieces += (literal, parts[slot[1]])
        length = starts[slot[1]] + len(parts[slot[1]])
        at = slot.end()
    pieces.append(template[at:])
    return "".join(pieces), starts


def _refuse(words: bool, pictures: int, options: MllmOptions) -> None:
    given = [kind for kind, there in (("text", words), ("image", pictures > 0)) if there]
    other = [kind for kind in given if kind not in options.takes]
    if other:
        raise UnsupportedModality(
            f"{options.model} takes {' and '.join(options.takes)}, and this is: {' and '.join(other)}.",
            fix="Use a recipe whose embedder takes it: mmrag recipe list",
        )
    if len(given) > 1 and not options.fuses:
        raise UnsupportedModality(
            f"{options.model} takes words or a picture, not both together.",
            fix="Give one of them, or use a recipe that fuses: mmrag recipe list",
        )
    if options.max_pictures is not None and pictures > options.max_pictures:
        raise UnsupportedModality(
            f"{options.model} takes {options.max_pictures} at a time, and there are {pictures} pictures.",
            fix="Give fewer pictures, or use a recipe that takes several.",
        )
