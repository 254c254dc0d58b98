"""What readers tell the splitter of a table, and the splitter an item."""

from __future__ import annotations

import re

HEADER_ROWS = "header_rows"
"""Metadata of a table block: how many of its first lines are its header; 1 if it is not given."""

CAPTION = "caption"
"""Metadata of a table block: its caption, '' for none; if it is not given, what stands above is asked."""

FIRST_ROW = "first_row"
"""Metadata of a table block that goes on from another page: the number of its first row of data."""

ROWS = "rows"
"""Metadata of an item that holds a part of a table: which rows of data, counted from 1: '41-58'."""

_TABLE_CAPTION = re.compile(r"\W*(?:table|tab\.|tabelle|tableau|tabla|tabella)\s*\d.{0,200}$", re.IGNORECASE)


def is_table_caption(text: str) -> bool:
    """Whether a paragraph is a table's caption: 'Table 7: Error codes'."""
    return _TABLE_CAPTION.match(text) is not None
