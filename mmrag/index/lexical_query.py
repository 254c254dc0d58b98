"""Turn what a person typed into a tantivy query that cannot fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

import tantivy
from tantivy import Occur, Query

from mmrag.core.query_syntax import Wish, understand
from mmrag.index.analysis import Forms, Language, is_partial

_EXPANSIONS = 32
_MAX_WISHES = 32
"""A page that someone pastes may have hundreds of quoted phrases."""
_Clause = tuple[Occur, Query]
_OCCUR = {"asked": Occur.Should, "demanded": Occur.Must, "excluded": Occur.MustNot}


def document_frequency(searcher: tantivy.Searcher, fields: Sequence[str], term: str) -> int:
    """Return how many documents hold a term in the field that holds it most often."""
    if is_partial(term):
        return max(sum(n for _, n in searcher.terms_with_prefix(field, term)) for field in fields)
    return max(searcher.doc_freq(field, term) for field in fields)


class QueryWriter:
    """Writes queries against one schema: any word may match, a quoted phrase that matches counts more.

    The words of a phrase also count alone: OCR and line breaks split phrases that a person sees whole.
    """

    def __init__(
        self,
        schema: tantivy.Schema,
        language: Language,
        weights: Mapping[str, float],
        *,
        phrase_weight: float,
        max_terms: int,
    ) -> None:
        self._schema = schema
        self._language = language
        self._weights = {field: weight for field, weight in weights.items() if weight > 0}
        self._filled = list(self._weights.items())
        self._phrase_weight = phrase_weight
        self._max_terms = max_terms

    def fill(self, fields: Collection[str]) -> None:
        """Set which fields hold a word: clauses for the others would only cost time."""
        self._filled = [(field, weight) for field, weight in self._weights.items() if field in fields]

    def write(self, text: str, searcher: tantivy.Searcher) -> Query | None:
        """Return the query of a text, None when it asks for no term."""
        understood = understand(text)
        counts = Counter(self._language.forms(understood.words))
        if len(counts) > self._max_terms:
            counts = self._rarest(counts, searcher)
        clauses: list[_Clause] = []
        for forms, count in counts.items():
            if len(forms) == 1 and not is_partial(forms[0]):
                clauses += [
                    (Occur.Should, self._term(field, forms[0], w * count)) for field, w in self._filled
                ]
            else:
                for field, w in self._filled:
                    clauses += [(Occur.Should, q) for q in self._word(field, w * count, forms, searcher)]
        for wish in understood.wishes[:_MAX_WISHES]:
            clauses += self._wish(wish, searcher)
        asked = any(occur != Occur.MustNot for occur, _ in clauses)
        return Query.boolean_query(clauses) if asked else None

    def demands(self, text: str, searcher: tantivy.Searcher) -> Query | None:
        """Return what finds all documents that have what a query demands and nothing that it excludes.

        None when the query does neither.
        """
        wishes = [wish for wish in understand(text).wishes[:_MAX_WISHES] if wish.kind != "asked"]
        clauses = [clause for wish in wishes for clause in self._wish(wish, searcher)]
        return Query.boolean_query([(Occur.Must, Query.all_query()), *clauses]) if clauses else None

    def _word(self, field: str, weight: float, forms: Forms, searcher: tantivy.Searcher) -> Iterator[Query]:
        """Yield what finds a word in a field: one query, or one for each way in which a piece can go on."""
        if len(forms) == 1 and is_partial(forms[0]):
            for gram, _ in searcher.terms_with_prefix(field, forms[0], limit=_EXPANSIONS):
                yield self._term(field, gram, weight)
            return
        if len(forms) > 1:
            # A form that no text has in this field would cost the query its fast path.
            forms = tuple(form for form in forms if searcher.doc_freq(field, form))
        if len(forms) == 1:
            yield self._term(field, forms[0], weight)
        elif forms:
            yield Query.disjunction_max_query([self._term(field, form, weight) for form in forms])

    def _term(self, field: str, term: str, weight: float) -> Query:
        return Query.boost_query(Query.term_query(self._schema, field, term, "freq"), weight)

    def _wish(self, wish: Wish, searcher: tantivy.Searcher) -> Iterator[_Clause]:
        words = self._language.forms(wish.text)[: self._max_terms]
        if not words:
            return
        weights = self._weights if wish.field is None else {wish.field: self._weights.get(wish.field, 1.0)}
        if wish.kind == "asked":
            if wish.field is not None:
                for forms, (field, weight) in ((forms, pair) for forms in words for pair in weights.items()):
                    for query in self._word(field, weight, forms, searcher):
                        yield Occur.Should, query
            if wish.quoted and self._phrase_weight > 0:
                for field, weight in weights.items():
                    for phrase in self._phrases(field, wish.text):
                        yield Occur.Should, Query.boost_query(phrase, weight * self._phrase_weight)
            return
        each = [self._whole(field, weight, words, wish, searcher) for field, weight in weights.items()]
        yield _OCCUR[wish.kind], _any_of(list(chain.from_iterable(each)))

    def _whole(
        self, field: str, weight: float, words: list[Forms], wish: Wish, searcher: tantivy.Searcher
    ) -> list[Query]:
        """Return what finds all words of a piece in a field, side by side where they are quoted."""
        if wish.quoted and (phrases := self._phrases(field, wish.text)):
            return [Query.boost_query(phrase, weight) for phrase in phrases]
        found = [list(self._word(field, weight, forms, searcher)) for forms in words]
        return [Query.boolean_query([(Occur.Must, _any_of(one)) for one in found])]

    def _phrases(self, field: str, text: str) -> list[Query]:
        """Return what finds the words side by side, in each language; nothing for one word or a piece."""
        wordings = dict.fromkeys(tuple(terms[: self._max_terms]) for terms in self._language.wordings(text))
        return [
            Query.phrase_query(self._schema, field, list(terms))
            for terms in wordings
            if len(terms) > 1 and not any(map(is_partial, terms))
        ]

    def _rarest(self, counts: Counter[Forms], searcher: tantivy.Searcher) -> Counter[Forms]:
        fields = list(self._weights)
        seen = {forms: max(document_frequency(searcher, fields, form) for form in forms) for forms in counts}
        known = sorted((n, forms) for forms, n in seen.items() if n)
        return Counter({forms: counts[forms] for _, forms in known[: self._max_terms]})


def _any_of(queries: list[Query]) -> Query:
    if not queries:
        return Query.empty_query()
    return queries[0] if len(queries) == 1 else Query.boolean_query([(Occur.Should, one) for one in queries])
