"""What words a dual encoder reads for an input: text and instruction, without its own special tokens."""

from __future__ import annotations

from collections.abc import Collection

from mmrag.core.errors import UnsupportedModality
from mmrag.embed.content import Content
from mmrag.embed.dual.options import DualOptions
from mmrag.embed.inputs import check_task
from mmrag.embed.texts import add_instruction, protect


def write_words(
    content: Content, options: DualOptions, specials: Collection[str] = ()
) -> tuple[str | None, tuple[str, ...]]:
    """Return the words to embed, None where there are none, and notes on what became of them.

    Blank words beside a picture or sound count as none. Several are joined by a blank.

    Args:
        content: The input.
        options: The recipe.
        specials: The tokenizer's special tokens; in the words they are spelled apart.

    Raises:
        UnsupportedModality: The recipe does not take these parts, or not together.
        QueryError: The recipe has no such task.
    """
    others = [part for part in content.parts if not isinstance(part, str)]
    spoken = " ".join(part for part in content.parts if isinstance(part, str) and part.strip())
    _refuse(content, options, len(others), bool(spoken))
    instruction, notes = _instruction(content, options)
    if instruction and others and options.fusion == "none":
        instruction, notes = "", ("The instruction was left out: a picture cannot be joined with words.",)
    written = add_instruction(instruction, spoken, options.normalize_text)
    written, apart = protect(written.lower() if options.lowercase else written, specials)
    if apart:
        notes = (*notes, f"Spelled apart, as it is a token of the model: {', '.join(apart)}.")
    if not written and others:
        return None, notes
    return written, notes


def _refuse(content: Content, options: DualOptions, others: int, has_words: bool) -> None:
    strange = sorted(content.modalities - options.taken)
    if strange:
        taken = " and ".join(sorted(options.taken))
        raise UnsupportedModality(
            f"The model takes {taken}, and the input has: {', '.join(strange)}.",
            fix="Use a recipe whose embedder takes it: mmrag recipe list",
        )
    if others > 1:
        raise UnsupportedModality(
            f"The model sees one picture or sound, and the input has {others}.",
            fix="Give one, or use a recipe with an MLLM embedder: mmrag recipe list",
        )
    if others and has_words and options.fusion == "none":
        raise UnsupportedModality(
            "The model makes no joint vector of words and a picture or sound.",
            fix="Ask with one of them, or use a recipe that fuses them, such as bge-vl-base.",
        )


def _instruction(content: Content, options: DualOptions) -> tuple[str, tuple[str, ...]]:
    if content.role == "document":
        return "", ()
    task = content.task if content.task is not None else options.task
    check_task(task, options.tasks)
    if content.instruction and not options.takes_instruction:
        return "", ("The instruction was left out: the model was not trained with any.",)
    if not options.takes_instruction:
        return "", ()
    if content.instruction is not None:
        return content.instruction, ()
    return options.instruction if task is None else options.tasks[task], ()
