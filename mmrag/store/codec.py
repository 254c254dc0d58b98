"""Items and records as bytes of the catalog, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from mmrag.core.reading import PageCoverage
from mmrag.core.types import (
    Cells,
    Item,
    ItemId,
    Locator,
    Modality,
    Page,
    Part,
    Place,
    Role,
    Scalar,
    SourceId,
    Span,
    TimeRange,
)


class _Locators(msgspec.Struct, array_like=True):
    """Locators by type, so that msgspec builds them: 2.7 us a place in Python, 1.1 us so.

    `order` tells the type of each (0, 1, 2, 3) where they are mixed. Bodies of format 1 end before `cells`.
    """

    pages: list[Page]
    spans: list[Span]
    times: list[TimeRange]
    order: list[int]
    cells: list[Cells] = []


class _Part(msgspec.Struct, array_like=True):
    modality: Modality
    text: str | None
    media: str | None
    role: Role
    starts: list[int]
    ends: list[int]
    locators: _Locators


class _Body(msgspec.Struct, array_like=True):
    locator: _Locators
    parts: list[_Part]
    metadata: dict[str, str | int | float | bool]


_pack = msgspec.msgpack.Encoder().encode
_unpack_body = msgspec.msgpack.Decoder(_Body).decode
_read_pages = msgspec.json.Decoder(tuple[PageCoverage, ...]).decode
_read_strings = msgspec.json.Decoder(dict[str, str]).decode
_read_integers = msgspec.json.Decoder(list[int]).decode


def pack_item(item: Item) -> tuple[bytes, dict[str, Scalar]]:
    """Return an item's locator, parts and metadata as bytes, and the metadata as they are kept.

    Equal items give equal bytes: metadata stand sorted, whatever their order was.
    Numbers that SQLite cannot hold (beyond 64 bits, not finite) are kept as text. Half a surrogate
    pair, which UTF-8 cannot hold, becomes '?': offsets stay right.
    """
    metadata = {key: _storable(value) for key, value in sorted(item.metadata.items())}
    parts = [_packed_part(part) for part in item.parts]
    body = _Body(_packed([item.locator]), parts, metadata)
    try:
        return _pack(body), metadata
    except UnicodeEncodeError:
        body = msgspec.convert(whole(msgspec.to_builtins(body)), _Body)
        return _pack(body), body.metadata


def repack(body: bytes) -> bytes:
    """Return the bytes that `pack_item` makes now of an item that an older one packed."""
    found = _unpack_body(body)
    return _pack(_Body(found.locator, found.parts, dict(sorted(found.metadata.items()))))


def unpack_item(id: str, source: str, body: bytes) -> Item:
    """Return the item that `pack_item` made `body` of."""
    found = _unpack_body(body)
    parts = tuple(
        Part(p.modality, p.text, p.media, p.role, tuple(map(Place, p.starts, p.ends, _unpacked(p.locators))))
        for p in found.parts
    )
    return Item(ItemId(id), SourceId(source), _unpacked(found.locator)[0], parts, found.metadata)


def pack_json(value: object) -> str:
    """Return a record's pages or mapping as JSON."""
    return msgspec.json.encode(value).decode()


def unpack_pages(text: str) -> tuple[PageCoverage, ...]:
    """Return the pages of a record."""
    return _read_pages(text)


def unpack_strings(text: str) -> dict[str, str]:
    """Return a mapping of strings."""
    return _read_strings(text)


def unpack_integers(text: str) -> list[int]:
    """Return a list of integers."""
    return _read_integers(text)


def whole(value: Any) -> Any:
    """Return a JSON value with '?' for each half of a surrogate pair, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [whole(v) for v in value]
    if isinstance(value, dict):
        return {whole(k): whole(v) for k, v in value.items()}
    return value


def _storable(value: Scalar) -> Scalar:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    return value if math.isfinite(value) else str(value)


def _packed_part(part: Part) -> _Part:
    places = part.places
    return _Part(
        part.modality,
        part.text,
        part.media,
        part.role,
        [place.start for place in places],
        [place.end for place in places],
        _packed([place.locator for place in places]),
    )


_ORDER: tuple[type[Locator], ...] = (Page, Span, TimeRange, Cells)


def _packed(locators: Sequence[Locator]) -> _Locators:
    pages = [x for x in locators if isinstance(x, Page)]
    spans = [x for x in locators if isinstance(x, Span)]
    times = [x for x in locators if isinstance(x, TimeRange)]
    cells = [x for x in locators if isinstance(x, Cells)]
    mixed = max(len(pages), len(spans), len(times), len(cells)) < len(locators)
    order = [_ORDER.index(type(x)) for x in locators] if mixed else []
    return _Locators(pages, spans, times, order, cells)


def _unpacked(found: _Locators) -> Sequence[Locator]:
    if found.order:
        by_type: tuple[Iterator[Locator], ...] = (
            iter(found.pages),
            iter(found.spans),
            iter(found.times),
            iter(found.cells),
        )
        return [next(by_type[kind]) for kind in found.order]
    return found.pages or found.spans or found.times or found.cells
