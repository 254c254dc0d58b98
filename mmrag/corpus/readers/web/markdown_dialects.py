"""What writers of Markdown use beyond CommonMark: more ways to show a picture, notes, directives."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from functools import partial

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from mmrag.core.protocols import no_progress
from mmrag.corpus.readers.web.directives import label_of

_MAX_NESTING = 60
_REPORT_EVERY = 500
_MAX_MARKUP = 1000
"""Brackets and tags parsed at once: the parser seeks the end of each, 60,000 without one take a minute."""
_MAX_MARK_CHARS = 1000
"""A longer line is text: patterns take the square of a line's length to say so."""
_TARGET = re.compile(r"\([^()=]{1,100}\)=\s*")
_ATTRIBUTE_LINE = re.compile(r"\{:[^{}]*\}\s*")
_ATTRIBUTES = re.compile(r"\{:?\s*(?=[.#]?[\w-]+(?:=|[\s}.#]))([^{}\n]*)\}")
_ATTRIBUTE = re.compile(r"""(?<![\w-])([a-zA-Z][\w-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>}]+))""")
_DOCFX_PICTURE = re.compile(r":::image\s([^\n]{0,2000}?):::|:::image-end:::")
_VAULT_PICTURE = re.compile(r"!\[\[([^\]\[|#\n]{1,500})(?:#[^\]|\n]*)?(?:\|([^\]\n]*))?\]\]")
_IN_VAULT = re.compile(r".+\.(?:png|jpe?g|gif|webp|svg|bmp|tiff?)\s*$", re.IGNORECASE)
_SIZE = re.compile(r"\s*\d+(?:x\d+)?\s*")
_ADMONITION = re.compile(
    r"(?:!!!|\?\?\?\+?)[ \t]+([\w-]+)(?:[ \t]+inline(?:[ \t]+end)?)?"
    r"(?:(?:[ \t]+[\w-]+)*[ \t]+\"(.*)\")?[ \t]*$"
)
_CONTAINER = re.compile(r"(:{3,})[ \t]*(?!image\b|image-end\b)(.*?)(?:[ \t]*:::+)?[ \t]*$")
_DIRECTIVE = re.compile(r"\{([\w:-]+)\}[ \t]*(.*)$")
_NAMED = re.compile(r"([\w-]+)(?:\[(.*)\]|[ \t]+([^{=]*))?[ \t]*(?:\{.*\})?$")

VAULT = "vault"
"""Metadata of an image token whose file may lie in a folder above the text's."""


def parser_of_dialects(progress: Callable[[int, int], None] = no_progress) -> MarkdownIt:
    """Return a parser of CommonMark with tables and what else writers use; it tells how far it is."""
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    parser.core.ruler.at("inline", partial(_inlines, progress))
    parser.block.ruler.before("table", "told", partial(_told, progress))
    ends: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    for name, rule in (
        ("target", _skip_line(_TARGET)),
        ("attribute_line", _skip_line(_ATTRIBUTE_LINE)),
        ("admonition", _admonition),
        ("container", _container),
    ):
        parser.block.ruler.before("hr", name, rule, ends)
    parser.inline.ruler.before("image", "vault_picture", _vault_picture)
    parser.inline.ruler.before("image", "docfx_picture", _docfx_picture)
    parser.inline.ruler.after("image", "attributes", _attributes)
    return parser


def attributes_of(text: str) -> dict[str, str]:
    """Return the attributes in a text like 'src="a.png" width=50%'; the first of a name counts."""
    said: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(text):
        said.setdefault(name.lower(), html.unescape(next(filter(None, values), "")))
    return said


def _told(
    progress: Callable[[int, int], None], state: StateBlock, line: int, _end: int, _silent: bool
) -> bool:
    """Say how far the parser is: this is asked first at the start of each block."""
    if state.level == 0:
        progress(line, state.lineMax)
    return False


def _inlines(progress: Callable[[int, int], None], state: StateCore) -> None:
    """Parse the words of each block, those with very much markup in pieces."""
    for i, token in enumerate(state.tokens):
        if i % _REPORT_EVERY == 0:
            progress(i, len(state.tokens))
        if token.type != "inline":
            continue
        token.children = []
        if _markup(token.content) <= _MAX_MARKUP:
            state.md.inline.parse(token.content, state.md, state.env, token.children)
            continue
        for piece in _pieces(token.content):
            if token.children:
                token.children.append(Token("softbreak", "br", 0))
            if _markup(piece) > _MAX_MARKUP:
                token.children.append(Token("text", "", 0, content=piece))
            else:
                state.md.inline.parse(piece, state.md, state.env, token.children)


def _markup(text: str) -> int:
    return text.count("[") + text.count("<")


def _pieces(text: str) -> Iterator[str]:
    """Cut at line ends, so that only a line that has too much markup for itself stays above the limit."""
    held: list[str] = []
    count = 0
    for line in text.split("\n"):
        own = _markup(line)
        if held and count + own > _MAX_MARKUP:
            yield "\n".join(held)
            held, count = [], 0
        held.append(line)
        count += own
    yield "\n".join(held)


def _skip_line(pattern: re.Pattern[str]) -> Callable[[StateBlock, int, int, bool], bool]:
    """Step over a line that is markup: MyST's name '(ssl-certificates)=', kramdown's '{: .wide}'."""

    def rule(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
        if state.is_code_block(line) or not pattern.fullmatch(_mark(state, line)):
            return False
        if not silent:
            state.line = line + 1
        return True

    return rule


def _admonition(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Read '!!! note "Title"' with its indented text as that text under its title."""
    match = None if state.is_code_block(line) else _ADMONITION.match(_mark(state, line))
    if match is None:
        return False
    if silent:
        return True
    kind, title = match.groups()
    _say(state, (label_of(kind.lower(), "") or kind.capitalize()) if title is None else title, line)
    indent = state.sCount[line] + 4
    last = line + 1
    while last < end and (state.isEmpty(last) or state.sCount[last] >= indent):
        last += 1
    outer, most = state.blkIndent, state.lineMax
    state.blkIndent, state.lineMax = indent, last
    state.level += 1  # what the parser bounds its recursion by
    state.md.block.tokenize(state, line + 1, last)
    state.level -= 1
    state.blkIndent, state.lineMax = outer, most
    state.line = last
    return True


def _container(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Step over the fences of ':::' containers, but not over their text; take MyST's as directives."""
    match = None if state.is_code_block(line) else _CONTAINER.match(_mark(state, line))
    if match is None:
        return False
    if silent:
        return True
    fence, rest = match.groups()
    if directive := _DIRECTIVE.match(rest):
        last = line + 1
        while last < end and not _closes(_line(state, last), fence):
            last += 1
        token = state.push("fence", "code", 0)
        token.info, token.markup, token.map = directive.group(), fence, [line, last]
        token.content = state.getLines(line + 1, last, state.sCount[line], keepLastLF=True)
        state.line = min(last + 1, end)
        return True
    if named := _NAMED.match(rest):
        name = named.group(1).lower()
        title = (named.group(2) or named.group(3) or "").strip()
        if label := label_of(name, title if label_of(name, "") else ""):
            _say(state, label, line)
    state.line = line + 1
    return True


def _closes(line: str, fence: str) -> bool:
    return line.startswith(fence) and not line.strip().strip(":")


def _docfx_picture(state: StateInline, silent: bool) -> bool:
    match = _DOCFX_PICTURE.match(state.src, state.pos) if state.src.startswith(":::", state.pos) else None
    if match is None:
        return False
    said = attributes_of(match.group(1) or "")
    if said.get("source") and not silent:
        _push_picture(state, said["source"], said.get("alt-text", ""))
    state.pos = match.end()
    return True


def _vault_picture(state: StateInline, silent: bool) -> bool:
    """Read Obsidian's '![[plan.png|The plan]]'; what follows the bar may also be a size."""
    match = _VAULT_PICTURE.match(state.src, state.pos) if state.src.startswith("![[", state.pos) else None
    if match is None or not _IN_VAULT.match(match.group(1)):
        return False
    if not silent:
        said = [words.strip() for words in (match.group(2) or "").split("|") if not _SIZE.fullmatch(words)]
        _push_picture(state, match.group(1).strip(), " ".join(said), meta={VAULT: True})
    state.pos = match.end()
    return True


def _attributes(state: StateInline, silent: bool) -> bool:
    """Read '{alt="..." width=50%}' behind a picture or a link, as pandoc and kramdown do."""
    last = state.tokens[-1] if state.tokens and not state.pending else None
    if last is None or last.type not in ("image", "link_close", "code_inline") or state.src[state.pos] != "{":
        return False
    match = _ATTRIBUTES.match(state.src, state.pos)
    if match is None:
        return False
    if not silent and last.type == "image" and not last.content:
        _set_alt(last, attributes_of(match.group(1)).get("alt", ""))
    state.pos = match.end()
    return True


def _push_picture(state: StateInline, link: str, alt: str, *, meta: dict[str, bool] | None = None) -> None:
    token = state.push("image", "img", 0)
    token.attrs = {"src": link, "alt": ""}
    token.meta = meta or {}
    _set_alt(token, alt)


def _set_alt(token: Token, alt: str) -> None:
    token.content = alt
    token.children = [Token("text", "", 0, content=alt)] if alt else []


def _say(state: StateBlock, words: str, line: int) -> None:
    """Add a paragraph that the markup of a line stands for."""
    if not words.strip():
        return
    state.push("paragraph_open", "p", 1).map = [line, line + 1]
    token = state.push("inline", "", 0)
    token.content, token.map, token.children = words.strip(), [line, line + 1], []
    state.push("paragraph_close", "p", -1)


def _mark(state: StateBlock, line: int) -> str:
    """Return a line that may be markup; '' if it is too long for that."""
    words = _line(state, line)
    return words if len(words) <= _MAX_MARK_CHARS else ""


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
