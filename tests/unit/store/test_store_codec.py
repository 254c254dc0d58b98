from __future__ import annotations

import math

import msgspec
import pytest

from mmrag.core.types import Box, Cells, Item, ItemId, Page, Part, Place, SourceId, Span, TimeRange
from mmrag.store.codec import pack_item, unpack_item

LOCATORS = [
    Page(3),
    Page(1, Box(0, 0.1, 1 / 3, 1)),
    Span(0, 12),
    TimeRange(0.5, 1e9 + 1 / 3),
    Cells("Prices", 2, 9),
]


def _back(item: Item) -> Item:
    return unpack_item(item.id, item.source, pack_item(item)[0])


@pytest.mark.parametrize("locator", LOCATORS)
def test_items_round_trip(locator):
    places = tuple(Place(i, i + 1, locator) for i in range(3))
    parts = (
        Part("image", media="ab" * 32),
        Part("text", text="", role="alt"),
        Part("text", text="Ünïcode \0 \U0001f600", role="ocr", places=places),
    )
    metadata = {"s": "x", "i": -(2**63), "f": 0.1, "t": True, "z": 0, "": "empty key"}
    item = Item(ItemId("i"), SourceId("a/b.pdf"), locator, parts, metadata)
    back = _back(item)
    assert back == item
    assert type(back.metadata["t"]) is bool
    assert type(back.metadata["z"]) is int
    assert isinstance(back.parts, tuple)


def test_mixed_places_keep_their_order():
    places = tuple(Place(i, i + 1, LOCATORS[i % 5]) for i in range(11))
    item = Item(ItemId("i"), SourceId("a"), Page(1), (Part("text", text="t", places=places),))
    assert _back(item) == item


def test_bodies_of_format_1_know_no_cells():
    item = Item(ItemId("i"), SourceId("a"), Page(1), (Part("text", text="t"),))
    body = msgspec.msgpack.decode(pack_item(item)[0])
    body[0] = body[0][:4]
    body[1][0][6] = body[1][0][6][:4]
    assert unpack_item(item.id, item.source, msgspec.msgpack.encode(body)) == item


def test_numbers_that_sqlite_cannot_hold_are_kept_as_text():
    metadata = {"big": 2**63, "nan": math.nan, "inf": -math.inf}
    _, kept = pack_item(Item(ItemId("i"), SourceId("a"), Span(0, 1), (), metadata))
    assert kept == {"big": "9223372036854775808", "nan": "nan", "inf": "-inf"}


def test_half_surrogates_do_not_move_offsets():
    item = Item(
        ItemId("i"), SourceId("a"), Span(0, 1), (Part("text", text="a\ud800b"),), {"k\udfff": "\ud800"}
    )
    body, metadata = pack_item(item)
    back = unpack_item("i", "a", body)
    assert back.text == "a?b"
    assert back.metadata == metadata == {"k?": "?"}
