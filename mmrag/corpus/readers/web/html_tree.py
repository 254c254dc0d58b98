"""Parse pages into trees that are no deeper than those of browsers."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser

_MAX_DEPTH = 512
"""As in Chrome. lexbor looks through all open elements at each block: 200,000 nested <div> take a minute."""
_NAMES = (
    "abbr|address|article|aside|b|big|blockquote|center|cite|code|del|details|dialog|div|dl|em|fieldset|figure|"
    "font|footer|form|header|i|ins|label|main|mark|nav|ol|pre|q|s|section|small|span|strike|strong|sub|sup|"
    "table|tt|u|ul"
)
"""What nests until it is closed; many pages leave out the ends of other elements, such as <li>."""
_TAG = re.compile(rf"<(/?)({_NAMES}|script|style)(?=[\s/>])", re.IGNORECASE)
_RAW = frozenset({"script", "style"})


def parse_page(html: str) -> LexborHTMLParser:
    """Return the tree of a page; elements that stand too deep are parted by spaces, and their words stay."""
    return LexborHTMLParser(_Flattener().run(html) if html.count("<") > _MAX_DEPTH else html)


class _Flattener:
    """Makes <wbr>, which holds nothing, out of the elements that stand too deep."""

    def __init__(self) -> None:
        self._depth = 0
        self._raw = ""

    def run(self, html: str) -> str:
        return _TAG.sub(self._tag, html)

    def _tag(self, match: re.Match[str]) -> str:
        ends, name = match.group(1), match.group(2).lower()
        if self._raw:
            self._raw = "" if ends and name == self._raw else self._raw
        elif name in _RAW:
            self._raw = "" if ends else name
        elif ends:
            self._depth = max(self._depth - 1, 0)
            return "</wbr" if self._depth >= _MAX_DEPTH else match.group()
        else:
            self._depth += 1
            return "<wbr" if self._depth > _MAX_DEPTH else match.group()
        return match.group()
