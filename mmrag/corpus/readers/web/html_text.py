"""Walk a page's elements, and tell words from the frame around them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from selectolax.lexbor import LexborNode


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = _set(
    """
    address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer
    form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main nav ol p section summary table tbody td tfoot th
    thead tr ul
    """
)
INLINE_BREAKS = _set("br option wbr")

_SKIPPED = _set(
    """
    script style noscript template svg annotation iframe object embed canvas audio video
    button select input textarea dialog head link meta -comment !doctype
    """
)
_SKIPPED_ROLES = _set("search menu")
_FRAME_ROLES = _set("navigation contentinfo banner")
_BESIDE = _set("aside footer")
_CONTENTS = _set("toc landmarks page-list doc-toc doc-pagelist")
_AROUND_CONTENT = _set("main article section blockquote figure")
_MAX_CLIMB = 40
"""The frame of a site stands near the body; what is deeper than this is taken for content."""
_SKIPPED_CLASSES = _set("headerlink sphinxsidebar breadcrumb breadcrumbs skip-link navheader navfooter")
_PERMALINKS = _set("¶ #")
_SAYS_CONTENT = re.compile(
    r"note|admonition|sidebar|topic|callout|system-message|(?:^|[\s_-])(?:warning|tip|caution|important|danger)s?\b",
    re.IGNORECASE,
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACES = re.compile(r"[\s\u200b]+")


def events(root: LexborNode, skip: Callable[[LexborNode], bool]) -> Iterator[tuple[bool, LexborNode]]:
    """Yield (True, node) at each element's start and each text, (False, node) at each element's end."""
    node: LexborNode | None = root.first_child
    while node is not None and node.mem_id != root.mem_id:
        is_text = node.tag == "-text"
        skipped = not is_text and skip(node)
        if not skipped:
            yield True, node
        child = None if is_text or skipped else node.first_child
        if child is not None:
            node = child
            continue
        if not skipped and not is_text:
            yield False, node
        while node.next is None:
            parent = node.parent
            if parent is None or parent.mem_id == root.mem_id:
                return
            yield False, parent
            node = parent
        node = node.next


def is_skipped(node: LexborNode) -> bool:
    """Whether an element is no part of what a web page says: unseen, or of the frame around its words."""
    return is_unseen(node) or _is_frame(node)


def is_unseen(node: LexborNode) -> bool:
    """Whether an element holds no words for readers, where no site's frame is around them: as in a book."""
    tag = node.tag or ""
    if tag == "-text":
        return False
    if tag in _SKIPPED or not is_shown(node):
        return True
    return tag == "nav" and not _CONTENTS.isdisjoint(
        f"{attribute(node, 'epub:type')} {attribute(node, 'role')}".lower().split()
    )


def _is_frame(node: LexborNode) -> bool:
    tag = node.tag or ""
    if tag in ("-text", "-comment"):
        return False
    role = attribute(node, "role").lower()
    if tag == "nav" or role in _FRAME_ROLES:
        return True
    if tag not in _BESIDE and role != "complementary":
        return False
    said = f"{attribute(node, 'class')} {role}"
    return not (attribute(node, "epub:type") or _SAYS_CONTENT.search(said) or _is_in_content(node))


def _is_in_content(node: LexborNode) -> bool:
    at = node.parent
    for _ in range(_MAX_CLIMB):
        if at is None or at.tag in ("body", "html", "-document"):
            return False
        if at.tag in _AROUND_CONTENT or attribute(at, "role").lower() == "main":
            return True
        at = at.parent
    return True


def is_shown(node: LexborNode) -> bool:
    """Whether people who read the page see an element, and not only those who go about the site."""
    said = node.attributes if node.tag not in ("-text", "-comment") else {}
    if not said:
        return True
    if node.tag == "a" and "#" in (said.get("href") or "") and _is_permalink(node):
        return False
    if "hidden" in said or (said.get("aria-hidden") or "").lower() == "true":
        return False
    return not (
        (said.get("role") or "").lower() in _SKIPPED_ROLES
        or _SKIPPED_CLASSES.intersection((said.get("class") or "").split())
        or _HIDDEN_STYLE.search(said.get("style") or "")
    )


def _is_permalink(node: LexborNode) -> bool:
    words = node.first_child
    if words is None or words.tag != "-text" or words.next is not None:
        return False
    return (words.text(deep=False) or "").strip() in _PERMALINKS


def text_of(node: LexborNode, skip: Callable[[LexborNode], bool] = is_skipped) -> str:
    """Return the words of an element without what is skipped, blocks parted by spaces."""
    words: list[str] = []
    for opens, child in events(node, skip):
        tag = child.tag or ""
        if tag == "-text" and opens:
            words.append(child.text(deep=False) or "")
        elif tag in BLOCKS or tag in INLINE_BREAKS:
            words.append(" ")
    return "".join(words)


def figure_around(node: LexborNode) -> LexborNode | None:
    """Return the element that holds the caption of the figure around a picture."""
    at = node.parent
    for _ in range(4):
        if at is None:
            return None
        classes = (at.attributes.get("class") or "").split() if at.attributes else []
        if at.tag == "figure" or "figure" in classes or "imageblock" in classes:
            if any(len(at.css(tag)) > 1 for tag in ("img", "svg", "object")):
                return None
            return at.css_first("figcaption") or at.css_first(".caption") or at.css_first(".title")
        at = at.parent
    return None


def attribute(node: LexborNode, name: str) -> str:
    """Return an attribute, '' if it is absent or has no value."""
    return node.attributes.get(name) or ""


def squeeze(text: str) -> str:
    """Join words by single spaces."""
    return _SPACES.sub(" ", text).strip()
