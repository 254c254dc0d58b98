"""Numbers as a spreadsheet shows them: dates in ISO, percent, units and decimals by their format."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

BUILT_IN = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    12: "# ?/?",
    13: "# ??/??",
    14: "yyyy-mm-dd",
    15: "d-mmm-yy",
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    22: "m/d/yy h:mm",
    37: "#,##0",
    38: "#,##0",
    39: "#,##0.00",
    40: "#,##0.00",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
    48: "##0.0E+0",
    49: "@",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((*range(32, 36), 55, 56), "h:mm"),
}
"""Number formats that have no text in a workbook; 27 to 58 are dates and times of East Asian editions."""

_EPOCH, _EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
_FIRST_MARCH_1900 = 61
"""Spreadsheets count a 29 February 1900 that never was: days before it stand one further."""
_LAST_DAY = 2_958_465
_MAX_DECIMALS = 15

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[\$(?P<unit>[^\]-]*)[^\]]*\]|\[(?P<elapsed>h+|m+|s+)\]|'
    r"\[[^\]]*\]|(?P<half>am/pm|a/p)|(?P<general>general)|(?P<exponent>E[+-])|(?P<clock>[ymdhsgeb]+)|"
    r"(?P<digits>[0#?][0#?,]*(?:\.[0#?]*)?,*|\.[0#?]+)|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What a number format asks for; `before` and `after` are its own words."""

    has_date: bool = False
    has_time: bool = False
    is_elapsed: bool = False
    is_general: bool = False
    is_percent: bool = False
    is_scientific: bool = False
    decimals: int = 0
    optional: int = 0
    thousands: int = 0
    before: str = ""
    after: str = ""


def shown(value: float, pattern: str, *, is_1904: bool = False) -> str:
    """Return a number as a cell of this format shows it, without separators of thousands."""
    if not math.isfinite(value):
        return str(value)
    wanted = _parse(pattern)
    if wanted.is_elapsed:
        return _elapsed(value)
    if wanted.has_date or wanted.has_time:
        return _moment(value, wanted, is_1904=is_1904)
    if wanted.is_general:
        return f"{wanted.before}{_general(value)}{wanted.after}"
    scaled = value * (100 if wanted.is_percent else 1) / 1000**wanted.thousands
    if wanted.is_scientific:
        digits = f"{scaled:.{wanted.decimals}e}"
    else:
        digits = f"{scaled:.{wanted.decimals}f}"
        for _ in range(wanted.optional):
            digits = digits[:-1] if digits.endswith("0") and "." in digits else digits
        digits = digits.removesuffix(".")
    return f"{wanted.before}{digits}{'%' if wanted.is_percent else ''}{wanted.after}"


@lru_cache(maxsize=1024)
def _parse(pattern: str) -> _Pattern:
    """Read the first section of a format: the others only colour, or write the minus differently."""
    clock = ""
    elapsed = exponent = general = percent = False
    digits: list[str] = []
    words = ["", ""]
    for match in _TOKEN.finditer(pattern or "General"):
        found = {name: text for name, text in match.groupdict().items() if text is not None}
        kind, text = next(iter(found.items()), ("", ""))
        if kind == "other" and text == ";":
            break
        if kind == "elapsed":
            elapsed = True
        elif kind == "general":
            general = True
        elif kind == "clock":
            clock += text.lower()
        elif kind == "digits":
            digits.append(text)
        elif kind == "exponent":
            exponent = True
        elif kind == "other" and text == "%":
            percent = True
        elif kind in ("quoted", "escaped", "unit") or (kind == "other" and text in " $€£¥"):
            words[bool(digits or general)] += text
    has_time = any(c in clock for c in "hs")
    has_date = any(c in clock for c in "yd") or ("m" in clock and not has_time)
    if not digits and not clock and not elapsed:
        general = True
    before, after = (" ".join(word.split()) for word in words)
    if before and (before[-1].isalnum() or before[-1] in ".:"):
        before += " "
    if after and (after[0].isalnum() or after[0] in "€£¥"):
        after = f" {after}"
    number = digits[0] if digits else ""
    fraction = number.partition(".")[2].replace(",", "")
    return _Pattern(
        has_date=has_date,
        has_time=has_time,
        is_elapsed=elapsed,
        # "# ?/?" is a fraction: its value says more than its nearest quarter.
        is_general=general or (len(digits) > 1 and "/" in pattern),
        is_percent=percent,
        is_scientific=exponent,
        decimals=min(len(fraction), _MAX_DECIMALS),
        optional=len(fraction) - len(fraction.rstrip("#")),
        thousands=len(number) - len(number.rstrip(",")),
        before=before,
        after=after,
    )


def _general(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    # 12 digits hide what binary fractions leave behind: 0.30000000000000004.
    return f"{value:.12g}"


def _moment(value: float, wanted: _Pattern, *, is_1904: bool) -> str:
    if not 0 <= value <= _LAST_DAY:
        return _general(value)
    if not is_1904 and value < _FIRST_MARCH_1900 and wanted.has_date:
        value += 1
    moment = (_EPOCH_1904 if is_1904 else _EPOCH) + timedelta(seconds=round(value * 86400))
    time = moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
    if not wanted.has_date:
        return time
    date = f"{moment.year:04}-{moment.month:02}-{moment.day:02}"
    return f"{date} {time}" if wanted.has_time else date


def _elapsed(value: float) -> str:
    seconds = round(abs(value) * 86400)
    sign = "-" if value < 0 else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
