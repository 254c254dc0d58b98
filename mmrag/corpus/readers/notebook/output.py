"""Reduce what a notebook's cell put out to what a person saw of it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_BACKSPACED = re.compile(r"[^\x08\n]\x08")
_PROGRESS = re.compile(r".{0,200}?\d+%\|.*\|\s*[\d.]+\S*/[\d.?]+")
_REPR = re.compile(r"<[\w.]+(?: [^<>\n]*)?>|[\w.]+\(children=.*|(?:Int|Float)Progress\(.*", re.DOTALL)
_MAX_LINES, _MAX_CHARS = 400, 40_000
_LAST_LINES, _LAST_CHARS = 50, 5_000
_ERROR_LINES = 4
_OLD_KEYS = {
    "text": "text/plain",
    "html": "text/html",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "svg": "image/svg+xml",
    "latex": "text/latex",
    "json": "application/json",
}
"""How nbformat 3 names what is in an output."""

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")


def joined(value: object) -> str:
    """Return a text that the format lets be a list of lines; '' for anything else."""
    if isinstance(value, str):
        return value
    return "".join(line for line in value if isinstance(line, str)) if isinstance(value, list) else ""


def streams_joined(outputs: Sequence[object]) -> Iterator[dict[str, object]]:
    """Yield outputs, those of one stream that follow each other as one."""
    last: dict[str, object] | None = None
    for output in outputs:
        if not isinstance(output, dict):
            continue
        kind = output.get("output_type")
        name = output.get("name") or output.get("stream") or ""
        if kind == "stream" and last is not None and last["name"] == name:
            last["text"] = joined(last["text"]) + joined(output.get("text"))
            continue
        if last is not None:
            yield last
        last = (
            {"output_type": kind, "name": name, "text": joined(output.get("text"))}
            if kind == "stream"
            else None
        )
        if last is None:
            yield output
    if last is not None:
        yield last


def data_of(output: Mapping[str, object]) -> dict[str, str]:
    """Return an output's representations by media type."""
    data = output.get("data")
    if isinstance(data, dict):
        return {str(kind): joined(value) for kind, value in data.items()}
    return {kind: joined(output[key]) for key, kind in _OLD_KEYS.items() if key in output}


def picture_of(data: Mapping[str, str]) -> bytes:
    """Return the picture among an output's representations, b'' if there is none that can be decoded."""
    for kind in PICTURES:
        if not data.get(kind, "").strip():
            continue
        if kind == "image/svg+xml":
            return data[kind].strip().encode()
        try:
            return base64.b64decode(data[kind])
        except (binascii.Error, ValueError):
            return b"not a picture"
    return b""


def shown(text: str) -> str:
    """Return a text as a terminal shows it in the end: without colours, overwritten lines and bars."""
    text = _ESCAPE.sub("", text).replace("\r\n", "\n")
    if "\b" in text:
        text = _BACKSPACED.sub("", text)
    lines = [
        next((s for s in reversed(line.split("\r")) if s.strip()), "").rstrip() for line in text.split("\n")
    ]
    kept = [
        line
        for i, line in enumerate(lines)
        if not (_PROGRESS.match(line) and i + 1 < len(lines) and _PROGRESS.match(lines[i + 1]))
    ]
    return "\n".join(kept).strip("\n")


def shortened(text: str) -> tuple[str, int]:
    """Return a text without its middle when it is long, and how many lines were left out or cut."""
    lines = [line if len(line) <= _LAST_CHARS else f"{line[:_LAST_CHARS]} [...]" for line in text.split("\n")]
    cut = sum(map(str.endswith, lines, repeat(" [...]")))
    if len(lines) <= _MAX_LINES and sum(map(len, lines)) <= _MAX_CHARS:
        return "\n".join(lines), cut
    first, chars = 0, 0
    while first < min(len(lines), _MAX_LINES - _LAST_LINES) and chars + len(lines[first]) < _MAX_CHARS:
        chars += len(lines[first]) + 1
        first += 1
    last, chars = len(lines), 0
    while last > max(first, len(lines) - _LAST_LINES) and chars + len(lines[last - 1]) < _LAST_CHARS:
        last -= 1
        chars += len(lines[last]) + 1
    left = last - first
    return "\n".join([*lines[:first], f"[{left} lines left out]", *lines[last:]]), left + cut


def is_only_a_name(text: str) -> bool:
    """Whether a text only names an object that another representation shows: '<Figure size 640x480>'."""
    return _REPR.fullmatch(text.strip()) is not None


def error_of(output: Mapping[str, object]) -> str:
    """Return the end of a traceback: where it broke, and how."""
    name, value = joined(output.get("ename")), joined(output.get("evalue"))
    said = f"{name}: {value}".strip(": ")
    trace = output.get("traceback")
    lines = shown("\n".join(joined(one) for one in trace)).split("\n") if isinstance(trace, list) else []
    last = [line for line in lines if line.strip()][-_ERROR_LINES:]
    if said and said.split("\n")[0] not in "\n".join(last):
        last.append(shown(said))
    return "\n".join(last)
