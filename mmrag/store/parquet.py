"""The tables of an export, and items as their rows and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmrag.core.types import (
    Box,
    Cells,
    Embeddings,
    Item,
    ItemId,
    Locator,
    Page,
    Part,
    Place,
    SourceId,
    Span,
    TimeRange,
)

if TYPE_CHECKING:
    import pyarrow as pa

EXPORT_FORMAT = 1
MANIFEST = "manifest.json"
SOURCES, ITEMS, BLOBS, CACHE = "sources.parquet", "items.parquet", "blobs.parquet", "cache.parquet"
FILES = (SOURCES, ITEMS, BLOBS, CACHE)
BATCH_ITEMS = 1000
"""Items of a row group: some MB with one vector each, 65 MB with 128 vectors of 128 numbers."""
BATCH_BYTES = 32_000_000
"""Media of a row group; a larger file stands alone."""


def schemas() -> dict[str, pa.Schema]:
    """Return the columns of each file.

    Units:
        `locator.box` in fractions of the page from its top left corner, `start` and `end` in characters
        of the source's text, `start_s` and `end_s` in seconds; pages and rows count from 1. `embedding`
        holds `vectors` vectors of equal length, one after the other.
    """
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    box = pa.struct([(name, real) for name in ("x0", "y0", "x1", "y1")])
    locator = pa.struct(
        [
            *(("kind", text), ("page", whole), ("box", box), ("start", whole), ("end", whole)),
            *(("start_s", real), ("end_s", real), ("sheet", text), ("first_row", whole), ("last_row", whole)),
        ]
    )
    place = pa.struct([("start", whole), ("end", whole), ("locator", locator)])
    part = pa.struct(
        [("modality", text), ("text", text), ("media", text), ("role", text), ("places", pa.list_(place))]
    )
    page = pa.struct([("page", whole), ("text", pa.bool_()), ("ocr", pa.bool_()), ("figures", whole)])
    return {
        SOURCES: pa.schema(
            [
                *(("id", text), ("digest", text), ("size", whole), ("media_type", text)),
                *(("modified_ns", whole), ("state", text), ("reason", text), ("fix", text)),
                *(("reader", text), ("splitter", text), ("title", text), ("pages", pa.list_(page))),
                *(("depends", pa.map_(text, text)), ("items", whole)),
            ]
        ),
        ITEMS: pa.schema(
            [
                *(("id", text), ("source", text), ("modality", text), ("locator", locator), ("text", text)),
                *(("metadata", text), ("parts", pa.list_(part)), ("key", text), ("vectors", pa.int32())),
                ("embedding", pa.list_(pa.float32())),
            ]
        ),
        BLOBS: pa.schema(
            [
                *(("digest", text), ("media_type", text), ("sources", pa.list_(text))),
                ("bytes", pa.large_binary()),
            ]
        ),
        CACHE: pa.schema(
            [
                *(("kind", text), ("key", text), ("sources", pa.list_(text)), ("owned", pa.bool_())),
                ("value", pa.large_binary()),
            ]
        ),
    }


def items_batch(items: Sequence[Item], keys: Sequence[str], embeddings: Embeddings) -> pa.RecordBatch:
    """Return items with their vectors as rows of `ITEMS`."""
    import pyarrow as pa

    schema = schemas()[ITEMS]
    lengths = embeddings.offsets * embeddings.dim
    vectors = pa.ListArray.from_arrays(
        pa.array(lengths.astype(np.int32)), pa.array(embeddings.vectors.reshape(-1), pa.float32())
    )
    columns: dict[str, Any] = {
        "id": [item.id for item in items],
        "source": [item.source for item in items],
        "modality": [item.modality for item in items],
        "locator": [_from_locator(item.locator) for item in items],
        "text": [item.text for item in items],
        # JSON keeps apart what Parquet's maps cannot: texts, numbers and truth values.
        "metadata": [json.dumps(dict(item.metadata), ensure_ascii=False) for item in items],
        "parts": [[_from_part(part) for part in item.parts] for item in items],
        "key": list(keys),
        "vectors": np.diff(embeddings.offsets),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in schema if field.name in columns]
    return pa.RecordBatch.from_arrays([*arrays, vectors], schema=schema)


def read_items(batch: pa.RecordBatch, dim: int) -> tuple[list[Item], list[str], Embeddings]:
    """Return the items, keys and vectors that `items_batch` made rows of."""
    names = ["id", "source", "locator", "metadata", "parts"]
    items = [
        Item(
            *(ItemId(row["id"]), SourceId(row["source"]), _to_locator(row["locator"])),
            tuple(_to_part(part) for part in row["parts"]),
            json.loads(row["metadata"]),
        )
        for row in batch.select(names).to_pylist()
    ]
    flat = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(batch.column("vectors").to_numpy())]).astype(np.int64)
    return items, batch.column("key").to_pylist(), Embeddings(flat.reshape(-1, dim), offsets)


def _from_locator(locator: Locator) -> dict[str, object]:
    if isinstance(locator, Page):
        box = locator.box
        sides = {"x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1} if box else None
        return {"kind": "page", "page": locator.number, "box": sides}
    if isinstance(locator, Span):
        return {"kind": "span", "start": locator.start, "end": locator.end}
    if isinstance(locator, TimeRange):
        return {"kind": "time", "start_s": locator.start, "end_s": locator.end}
    return {"kind": "cells", "sheet": locator.sheet, "first_row": locator.first, "last_row": locator.last}


def _to_locator(row: Mapping[str, Any]) -> Locator:
    kind = row["kind"]
    if kind == "page":
        return Page(row["page"], Box(**row["box"]) if row["box"] else None)
    if kind == "span":
        return Span(row["start"], row["end"])
    if kind == "time":
        return TimeRange(row["start_s"], row["end_s"])
    return Cells(row["sheet"], row["first_row"], row["last_row"])


def _from_part(part: Part) -> dict[str, object]:
    places = [
        {"start": place.start, "end": place.end, "locator": _from_locator(place.locator)}
        for place in part.places
    ]
    return {
        "modality": part.modality,
        "text": part.text,
        "media": part.media,
        "role": part.role,
        "places": places,
    }


def _to_part(row: Mapping[str, Any]) -> Part:
    places = tuple(Place(p["start"], p["end"], _to_locator(p["locator"])) for p in row["places"])
    return Part(row["modality"], row["text"], row["media"], row["role"], places)
