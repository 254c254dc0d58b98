"""Ask questions with known answers, and count how often search and answer are right."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmrag.core.errors import ConfigError
from mmrag.core.types import Answer, Citation, Hit, Page, Status
from mmrag.evaluate.metrics import mean
from mmrag.evaluate.questions import ExpectedSource, Question

Ask = Callable[[Question], Answer]
Search = Callable[[Question, int], list[Hit]]

OVERALL = "all"


@dataclass(frozen=True, slots=True)
class Row:
    """How one question went.

    `rank` is the 1-based place of the first right hit, None beyond the deepest k; `recall` the share of
    the right places found down to there. The three judgements of the answer are None for an
    unanswerable question.
    """

    question: Question
    rank: int | None
    recall: float
    status: Status
    text: str
    answer_in_text: bool | None
    answer_in_citation: bool | None
    source_cited: bool | None
    support: float


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Figures overall and by modality; each None where no question counts.

    Figures (shares of questions, 0 to 1):
        hit@k: One of the first k hits is a right place. Answerable questions.
        recall@k: Share of the right places that are among the first k, the deepest. Answerable questions.
        mrr: Mean of 1 / rank of the first right hit. Answerable questions.
        answer_in_text: The answer's text holds a right answer. Answerable questions.
        answer_in_citation: A quote holds a right answer. Answerable questions.
        source_cited: The first citation is in a right place. Answerable questions that got one.
        false_refusal: Answerable questions that got no answer.
        abstention: Unanswerable questions that got none.
    """

    rows: tuple[Row, ...]
    figures: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "questions": len(self.rows),
            "counts": dict(self.counts),
            "figures": {group: dict(values) for group, values in self.figures.items()},
            "rows": [
                {
                    "id": row.question.id,
                    "question": row.question.question,
                    "modality": row.question.modality,
                    "answerable": row.question.answerable,
                    "rank": row.rank,
                    "recall": round(row.recall, 4),
                    "status": row.status,
                    "text": row.text,
                    "answer_in_text": row.answer_in_text,
                    "answer_in_citation": row.answer_in_citation,
                    "source_cited": row.source_cited,
                    "support": round(row.support, 4),
                }
                for row in self.rows
            ],
        }

    def as_markdown(self) -> str:
        """Return the figures as a Markdown table, one column a group of questions."""
        groups = list(self.figures)
        names = list(self.figures[OVERALL])
        head = ["figure", *(f"{group} ({self.counts[group]})" for group in groups)]
        lines = ["| " + " | ".join(head) + " |", "|:--" + "|--:" * len(groups) + "|"]
        for name in names:
            cells = [name.replace("_", " "), *(_percent(self.figures[group][name], name) for group in groups)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def failures(self) -> list[Row]:
        """Return the questions that were answered wrongly, refused wrongly or not refused."""
        return [row for row in self.rows if not _right(row)]


def evaluate(
    questions: Sequence[Question], ask: Ask, search: Search, *, k: Sequence[int] = (1, 5)
) -> EvalReport:
    """Ask every question and judge what comes back.

    Args:
        questions: From `load_questions`.
        ask: Answers one question.
        search: Finds the best hits of one question, at most as many as asked for.
        k: The depths of hit@k; the deepest bounds the ranks.

    Raises:
        ConfigError: There is no question, or a k is below 1.
    """
    if not questions:
        raise ConfigError("There is no question.", fix="Give at least one.")
    if not k or min(k) < 1:
        raise ConfigError(f"k is {tuple(k)}.", fix="Give depths of 1 or more.", where="k")
    rows = tuple(_row(question, ask, search, max(k)) for question in questions)
    groups: dict[str, list[Row]] = {OVERALL: list(rows)}
    for row in rows:
        if row.question.answerable:
            groups.setdefault(row.question.modality, []).append(row)
    return EvalReport(
        rows,
        {name: _figures(members, k) for name, members in groups.items()},
        {name: len(members) for name, members in groups.items()},
    )


def says(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds one of the answers as whole words, without case, marks and spacing."""
    words = f" {_words(text)} "
    return any(f" {wanted} " in words for answer in answers if (wanted := _words(answer)))


def in_place(hit: Hit, expected: Sequence[ExpectedSource]) -> bool:
    """Whether a hit is one of the expected places; a copy in another source counts."""
    sources = {str(hit.item.source), *map(str, hit.also_in)}
    page = hit.item.locator.number if isinstance(hit.item.locator, Page) else None
    return any(want.source in sources and _page_fits(want, page) for want in expected)


def _row(question: Question, ask: Ask, search: Search, depth: int) -> Row:
    hits = search(question, depth)[:depth]
    answer = ask(question)
    rank = next((i for i, hit in enumerate(hits, 1) if in_place(hit, question.sources)), None)
    places = [any(in_place(hit, [place]) for hit in hits) for place in question.sources]
    judged = question.answerable
    quotes = "\n".join(citation.quote for citation in answer.citations)
    cited = _cited(answer.citations[0], question, answer) if answer.citations else None
    return Row(
        question=question,
        rank=rank,
        recall=mean([float(place) for place in places]) or 0.0,
        status=answer.status,
        text=answer.text,
        answer_in_text=says(answer.text, question.answers) if judged else None,
        answer_in_citation=says(quotes, question.answers) if judged else None,
        source_cited=cited if judged else None,
        support=max((citation.support for citation in answer.citations), default=0.0),
    )


def _cited(citation: Citation, question: Question, answer: Answer) -> bool:
    copies = next((hit.also_in for hit in answer.evidence if hit.item.id == citation.item.id), ())
    sources = {str(citation.item.source), *map(str, copies)}
    page = citation.locator.number if isinstance(citation.locator, Page) else None
    return any(want.source in sources and _page_fits(want, page) for want in question.sources)


def _page_fits(want: ExpectedSource, page: int | None) -> bool:
    return want.page is None or want.page == page


def _figures(rows: Sequence[Row], k: Sequence[int]) -> dict[str, float | None]:
    answerable = [row for row in rows if row.question.answerable]
    other = [row for row in rows if not row.question.answerable]
    found: dict[str, float | None] = {
        f"hit@{depth}": mean([float(row.rank is not None and row.rank <= depth) for row in answerable])
        for depth in k
    }
    found[f"recall@{max(k)}"] = mean([row.recall for row in answerable])
    found["mrr"] = mean([1.0 / row.rank if row.rank else 0.0 for row in answerable])
    found["answer_in_text"] = mean([float(bool(row.answer_in_text)) for row in answerable])
    found["answer_in_citation"] = mean([float(bool(row.answer_in_citation)) for row in answerable])
    found["source_cited"] = mean(
        [float(row.source_cited) for row in answerable if row.source_cited is not None]
    )
    found["false_refusal"] = mean([float(row.status == "no_evidence") for row in answerable])
    found["abstention"] = mean([float(row.status == "no_evidence") for row in other])
    return found


def _right(row: Row) -> bool:
    if not row.question.answerable:
        return row.status == "no_evidence"
    return bool(row.answer_in_text) and bool(row.source_cited)


def _percent(value: float | None, name: str) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if name == "mrr" else f"{100 * value:.0f} %"


_SIGNS = "€$£%°µ"


def _words(text: str) -> str:
    """Return a text's words and numbers with single spaces; marks inside a number stay.

    Each Han and kana character is a word of its own: those scripts have no spaces to compare by.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    kept = []
    for i, char in enumerate(plain):
        inside_number = char in ".,:" and plain[i - 1 : i].isdigit() and plain[i + 1 : i + 2].isdigit()
        if "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff":
            kept.append(f" {char} ")
        else:
            kept.append(char if char.isalnum() or inside_number or char in _SIGNS else " ")
    return " ".join("".join(kept).split())
