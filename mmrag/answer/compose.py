"""Turn evidence into an answer whose every quote was checked."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from mmrag.answer.quotes import verify
from mmrag.core.protocols import Answerer
from mmrag.core.types import Answer, Hit, Query, Status, Step


def compose_answer(
    query: Query,
    hits: Sequence[Hit],
    answerer: Answerer,
    *,
    notes: Sequence[str] = (),
    steps: Sequence[Step] = (),
    root: str = "",
) -> Answer:
    """Answer a query from hits.

    The status is `answered` when the draft is complete and all its quotes stand in their items,
    `partial` when it is incomplete or a quote was dropped, `no_evidence` when the draft is empty or
    no quote is left.

    Args:
        query: The question.
        hits: The evidence, best first.
        answerer: What makes the draft.
        notes: Sentences of the steps before, kept in front of the answer's own.
        steps: The steps before; `compose` and `verify` are added to the trace.
        root: The digest of the store's state.
    """
    began = perf_counter()
    draft = answerer.compose(query, hits)
    composed = perf_counter()
    citations, dropped = verify(draft, hits)
    verified = perf_counter()
    trace = (
        *steps,
        Step("compose", 1e3 * (composed - began), {"hits": len(hits), "quotes": len(draft.quotes)}),
        Step("verify", 1e3 * (verified - composed), {"citations": len(citations), "dropped": dropped}),
    )
    own = list(draft.notes)
    status: Status = "answered" if draft.complete and not dropped else "partial"
    if draft.text and not citations:
        own.append("No quote of the draft stands in the evidence, so there is no answer.")
    elif dropped:
        own.append(_dropped(dropped))
    if not draft.text or not citations:
        status = "no_evidence"
    text = "" if status == "no_evidence" else draft.text
    return Answer(
        status=status,
        text=text,
        citations=citations if text else (),
        evidence=tuple(hits),
        notes=(*notes, *own),
        trace=trace,
        root=root,
    )


def _dropped(count: int) -> str:
    if count == 1:
        return "One quote does not stand in the evidence and was left out."
    return f"{count} quotes do not stand in the evidence and were left out."
