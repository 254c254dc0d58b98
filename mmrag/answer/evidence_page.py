"""The evidence page: one HTML file without scripts that shows an answer beside what it rests on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mmrag.answer.render import describe_hit, describe_locator
from mmrag.core.fields import HEADING, TITLE
from mmrag.core.types import Answer, Citation, Hit

_AROUND_CHARS = 500
_EXCERPT_CHARS = 220

_STATUS = {
    "answered": "Answered",
    "partial": "Partly answered",
    "no_evidence": "No evidence found",
}


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A citation with its link, a note where its source is not as indexed, and its picture."""

    citation: Citation
    link: str
    note: str
    picture_name: str
    picture: bytes
    format: str = "png"


def evidence_html(answer: Answer, exhibits: Sequence[Exhibit], *, question: str) -> str:
    """Return the page as HTML; everything from outside is escaped, pictures are inside the file."""
    cited = {exhibit.citation.item.id for exhibit in exhibits}
    others = [hit for hit in answer.evidence if hit.item.id not in cited]
    body = "\n".join(
        filter(
            None,
            [
                _head(answer, question),
                _section("Citations", "".join(_exhibit(i, e) for i, e in enumerate(exhibits, 1))),
                _others(others, cited=bool(exhibits)),
                _foot(answer),
            ],
        )
    )
    title = escape(question or "Evidence")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _head(answer: Answer, question: str) -> str:
    badge = f'<p class="status {answer.status}">{_STATUS[answer.status]}</p>'
    heading = f"<h1>{escape(question)}</h1>" if question else "<h1>Evidence</h1>"
    text = f'<p class="answer">{_lines(answer.text)}</p>' if answer.text else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in answer.notes)
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f"<header>\n{heading}\n{badge}\n{text}\n{listed}\n</header>\n<main>"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}</section>" if content else ""


def _exhibit(number: int, exhibit: Exhibit) -> str:
    citation = exhibit.citation
    label = escape(describe_locator(citation.item, citation.locator))
    place = f'<a href="{escape(exhibit.link)}">{label}</a>' if exhibit.link else label
    under = " · ".join(
        dict.fromkeys(str(value) for key in (TITLE, HEADING) if (value := citation.item.metadata.get(key)))
    )
    pieces = [
        f'<article id="citation-{number}" aria-labelledby="place-{number}">',
        f'<h3 id="place-{number}"><span class="number">{number}</span> {place}</h3>',
        f'<p class="under">{escape(under)}</p>' if under else "",
        f'<p class="warning" role="note">{escape(exhibit.note)}</p>' if exhibit.note else "",
        f"<blockquote>{_passage(citation)}</blockquote>",
        _figure(exhibit),
        "</article>\n",
    ]
    return "\n".join(piece for piece in pieces if piece)


def _passage(citation: Citation) -> str:
    text, start, end = citation.item.text, citation.start, citation.end
    first, last = max(0, start - _AROUND_CHARS), min(len(text), end + _AROUND_CHARS)
    if first:
        first = text.rfind(" ", 0, first + 1) + 1
    if last < len(text) and (cut := text.find(" ", last)) >= 0:
        last = cut
    before = ("… " if first else "") + text[first:start]
    after = text[end:last] + (" …" if last < len(text) else "")
    return f"{_lines(before)}<mark>{_lines(text[start:end])}</mark>{_lines(after)}"


def _figure(exhibit: Exhibit) -> str:
    if not exhibit.picture:
        return ""
    data = base64.b64encode(exhibit.picture).decode("ascii")
    label = escape(describe_locator(exhibit.citation.item, exhibit.citation.locator))
    quote = " ".join(exhibit.citation.quote.split())
    return (
        f'<figure><img src="data:image/{exhibit.format};base64,{data}" '
        f'alt="{label} with these words marked: {escape(quote)}">'
        f"<figcaption>{label}, saved beside this page as {escape(exhibit.picture_name)}</figcaption></figure>"
    )


def _others(hits: Sequence[Hit], *, cited: bool) -> str:
    if not hits:
        return ""
    entries = "".join(
        f"<li><strong>{escape(describe_hit(hit))}</strong><br>{escape(_excerpt(hit.item.text))}</li>"
        for hit in hits
    )
    title = "Also found" if cited else "The nearest things found"
    opened = "" if cited else " open"
    return f"<details{opened}>\n<summary>{title} ({len(hits)})</summary>\n<ol>{entries}</ol>\n</details>"


def _foot(answer: Answer) -> str:
    root = f" State of the index: <code>{escape(answer.root[:16])}</code>." if answer.root else ""
    return (
        "</main>\n<footer><p>Each quote stands word for word in the text that mmrag read from its source."
        f"{root}</p></footer>"
    )


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT_CHARS else line[:_EXCERPT_CHARS].rsplit(" ", 1)[0] + " …"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>\n")


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #55606f; --paper: #fff; --ground: #f3f5f8;
  --line: #d9dfe7; --link: #0b57b7; --mark: #ffe58a; --good: #1a7f4b; --half: #8f5b00; --none: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf1; --soft: #a9b4c2; --paper: #1b222c;
  --ground: #12171e; --line: #333e4c; --link: #86b7ff; --mark: #6b5500; --good: #5fd39a; --half: #f0b24a;
  --none: #ff8f87; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header, main, footer { max-width: 52rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.6rem; line-height: 1.3; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .75rem; color: var(--soft); font-weight: 600; }
h3 { font-size: 1.05rem; margin: 0; display: flex; gap: .6rem; align-items: baseline;
  overflow-wrap: anywhere; }
.status { display: inline-block; margin: 0; padding: .1rem .75rem; border: 1.5px solid currentColor;
  border-radius: 1rem; font-size: .85rem; font-weight: 600; }
.answered { color: var(--good); } .partial { color: var(--half); } .no_evidence { color: var(--none); }
.answer { font-size: 1.2rem; margin: 1rem 0; padding: 1rem 1.25rem; background: var(--paper);
  border-left: .3rem solid var(--link); border-radius: 0 .5rem .5rem 0; overflow-wrap: anywhere; }
.notes { margin: .75rem 0; padding-left: 1.2rem; color: var(--soft); }
article, details { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1.1rem 1.25rem; margin: 0 0 1.25rem; }
.number { flex: none; min-width: 1.6rem; text-align: center; border-radius: .4rem; background: var(--ink);
  color: var(--paper); font-size: .85rem; }
.under { margin: .2rem 0 0 2.2rem; color: var(--soft); font-size: .9rem; }
.warning { margin: .75rem 0 0; padding: .4rem .75rem; border: 1.5px solid var(--half); border-radius: .4rem;
  color: var(--half); }
blockquote { margin: .9rem 0 0; padding: 0 0 0 1rem; border-left: 3px solid var(--line);
  overflow-wrap: anywhere; }
mark { background: var(--mark); color: inherit; padding: .05em .1em; border-radius: .15rem; }
figure { margin: 1rem 0 0; }
img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: .3rem;
  background: #fff; }
figcaption { margin-top: .4rem; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
summary { cursor: pointer; font-weight: 600; }
ol { padding-left: 1.4rem; } li { margin: .4rem 0; overflow-wrap: anywhere; }
footer { padding: 1rem 1.25rem 2.5rem; color: var(--soft); font-size: .85rem; }
@media print { body { background: #fff; } article { break-inside: avoid; } }
"""
