"""What a recipe of a multimodal LLM wants of its checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict

from mmrag.embed.check import Wanted
from mmrag.embed.mllm.options import MllmOptions

_MARK = re.compile(r"<\|[^|<>\s]+\|>|</?[A-Za-z_]+>|\[/?[A-Z]+\]")
_CERTAIN = re.compile(r"<\|[^|<>\s]+\|>")


def wanted(options: MllmOptions) -> Wanted:
    """Return what must be here, and which tokens the templates and the pooling count on.

    What stands in `image_token` and `pooling.token`, and what is written <|like this|>, must be one token.
    Other marks, such as [INST], are words to some tokenizers that were trained with them.
    """
    marks = dict.fromkeys(mark for text in _texts(options) for mark in _MARK.findall(text))
    must = dict.fromkeys(_MARK.findall(options.image_token)) if "image" in options.takes else {}
    if options.pooling.token:
        must[options.pooling.token] = None
    must |= {mark: None for mark in marks if _CERTAIN.fullmatch(mark)}
    added = set(options.new_tokens)
    return Wanted(
        model=options.model,
        build=options.build,
        revision=options.revision,
        pictures="image" in options.takes,
        tokens=[token for token in must if token not in added],
        marks=[mark for mark in marks if mark not in must and mark not in added],
        adapters=options.adapters,
    )


def _texts(options: MllmOptions) -> Iterator[str]:
    for role in ("query", "document"):
        form = asdict(options.form(role))
        yield from (value for value in form.values() if isinstance(value, str))
    yield options.empty_text
