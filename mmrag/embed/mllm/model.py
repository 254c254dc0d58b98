"""A loaded multimodal embedder: inputs are prepared in any thread, batches run one at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmrag.core.memory import memory_errors
from mmrag.embed.content import Content, Prepared
from mmrag.embed.mllm.backbones import Backbone, Batch, View
from mmrag.embed.mllm.heads import HeadStep
from mmrag.embed.mllm.options import MllmOptions
from mmrag.embed.mllm.pooling import Marks, average, pooled_tokens
from mmrag.embed.mllm.render import Rendered, render
from mmrag.embed.mllm.tokens import Tokenizer

if TYPE_CHECKING:
    from mmrag.embed.adapters.bank import AdapterBank


_LESS_MEMORY = "Lower engine.batch_tokens, or pixels.max and max_tokens, in the recipe."


@dataclass(frozen=True, slots=True)
class Row:
    """One input, ready to be padded.

    Shapes:
        ids [tokens]; positions [axes, tokens]; pooled bool [tokens]
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    pooled: NDArray[np.bool_]
    views: tuple[View, ...]
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a loaded model is made of.

    Args:
        backbone: The language model with its eyes.
        tokenizer: Its tokenizer.
        head: What follows the language model.
        marks: The tokens that poolings look for.
        pad_id: The token that fills up a batch; no vector depends on it.
        bank: Its adapters; None without.
    """

    backbone: Backbone
    tokenizer: Tokenizer
    head: HeadStep
    marks: Marks
    pad_id: int
    bank: AdapterBank | None = None


class MllmModel:
    """A multimodal embedder on one device; see `mmrag.embed.content.Model`.

    Args:
        parts: What it is made of.
        options: The recipe.
        dim: The length of a vector.
    """

    def __init__(self, parts: Parts, options: MllmOptions, dim: int) -> None:
        self.dim = dim
        self.parts = parts
        self._options = options
        self._running = threading.Lock()

    def prepare(self, content: Content) -> Prepared:
        """Open pictures, render the template, make tokens and pixels.

        Raises:
            SourceError: A picture cannot be opened.
            UnsupportedModality: The recipe does not take these parts together.
            InputTooLong: It does not fit, or nothing may be cut.
            ModelError: The recipe's template does not fit its pooling.
        """
        parts, pooling = self.parts, self._options.pooling
        rendered = render(content, self._options, parts.tokenizer.specials)
        views = self._see(rendered)
        visual = sum(view.tokens for view in views)
        tokens = parts.tokenizer.encode(rendered, [view.tokens for view in views])
        pooled = pooled_tokens(
            tokens.ids,
            pooling,
            parts.marks,
            has_picture=bool(rendered.pictures),
            masked=tokens.masked,
        )
        row = Row(
            ids=tokens.ids,
            positions=parts.backbone.positions(tokens.ids, views),
            pooled=pooled,
            views=views,
            adapter=self._adapter(content, rendered),
        )
        return Prepared(tokens.ids.size - visual, visual, row, tokens.notes)

    def run(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch; a row's vector does not depend on the others.

        Raises:
            OutOfMemory: The device has too little memory for this batch.
        """
        rows: list[Row] = [one.data for one in batch]
        found = np.empty((len(rows), self.dim), np.float32)
        bank = self.parts.bank
        names = [row.adapter for row in rows]
        groups = [list(range(len(rows)))] if bank is None else bank.groups(names)
        with self._running, memory_errors(len(rows), "input", fix=_LESS_MEMORY):
            for group in groups:
                chosen = [rows[at] for at in group]
                with nullcontext() if bank is None else bank.using([row.adapter for row in chosen]):
                    found[group] = self._embed(chosen)
        return found

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes, without any template."""
        return self.parts.tokenizer.count(texts)

    def _see(self, rendered: Rendered) -> tuple[View, ...]:
        see = self.parts.backbone.see
        if rendered.dummy_pixels:
            return (see(None, rendered.dummy_pixels),)
        return tuple(see(picture) for picture in rendered.pictures)

    def _adapter(self, content: Content, rendered: Rendered) -> str | None:
        if self.parts.bank is None:
            return None
        # A picture alone with an instruction among its words has become a picture with words.
        return self.parts.bank.choose(content, task=self._options.task, modalities=rendered.modalities)

    def _embed(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        import torch

        head = self.parts.head
        batch = collate(rows, self.parts.pad_id, left=self._options.padding_side == "left")
        chosen = np.zeros(batch.ids.shape, np.bool_)
        chosen[batch.mask] = np.concatenate([row.pooled for row in rows])
        with torch.inference_mode():
            states = self.parts.backbone.states(batch)
            states = states[torch.from_numpy(chosen).to(states.device)].float()
            if head.tokens is not None:
                states = head.tokens(states)
            vectors = average(states, [int(row.pooled.sum()) for row in rows])
            if head.vector is not None:
                vectors = head.vector(vectors)
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
            if self.dim < vectors.shape[-1]:
                vectors = torch.nn.functional.normalize(vectors[:, : self.dim], dim=-1)
            found: NDArray[np.float32] = vectors.cpu().numpy()
        return found


def collate(rows: Sequence[Row], pad_id: int, *, left: bool) -> Batch:
    """Pad inputs to one length."""
    length = max(row.ids.size for row in rows)
    ids = np.full((len(rows), length), pad_id, np.int64)
    mask = np.zeros((len(rows), length), np.bool_)
    positions = np.zeros((rows[0].positions.shape[0], len(rows), length), np.int64)
    for at, row in enumerate(rows):
        real = slice(length - row.ids.size, length) if left else slice(0, row.ids.size)
        ids[at, real] = row.ids
        mask[at, real] = True
        positions[:, at, real] = row.positions
    return Batch(ids, mask, positions, tuple(view for row in rows for view in row.views))
