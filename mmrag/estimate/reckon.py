"""The arithmetic of an estimate: from a sample to the whole folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmrag.core.fields import embedding_key
from mmrag.corpus.scan import Found
from mmrag.estimate.amounts import Amount, Part, total
from mmrag.estimate.report import Disk, KindEstimate, Seconds
from mmrag.estimate.sample import Sample, Seen, Stratum
from mmrag.estimate.trial import Pace, Written
from mmrag.recipes import IndexRecipe

_SYSTEMATIC = 0.15
"""No estimate of time is surer than that: on machines with other work it was off by a third and more."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured with the sample.

    Args:
        load_s: Seconds to load the model.
        words: How fast words are embedded.
        pictures: How fast pictures are.
        written: What writing takes.
        workers: How many processes a sync reads with.
        shares_cores: Whether embedding takes the cores that reading needs.
        dim: The length of a vector.
    """

    load_s: float
    words: Pace
    pictures: Pace
    written: Written
    workers: int
    shares_cores: bool
    dim: int


class Reckoning:
    """The arithmetic of an estimate over one sample."""

    def __init__(self, sample: Sample, measured: Measured) -> None:
        self._sample, self._measured = sample, measured
        keys = [embedding_key(item) for _, intake in sample.intakes for item in intake.items]
        self.distinct = len(set(keys)) / len(keys) if keys else 1.0
        """The share of the sampled items that no other one equals: equal ones are embedded once."""

    def sum_of(
        self, value: Callable[[Seen], float], kind: str | None = None, *, timed: bool = False
    ) -> Amount:
        """Return the sum over all files of what the sampled ones gave.

        Args:
            value: What of a file is summed up.
            kind: Only files of this kind; None for all.
            timed: It is a time: files that waited for something to be loaded count only without others.
        """
        parts: dict[str, list[Part]] = {}
        for stratum, files in self._sample.strata.items():
            if kind in (None, stratum.kind):
                parts.setdefault(stratum.kind, []).append(self._part(stratum, files, value, timed=timed))
        return total(parts)

    def kinds(self) -> tuple[KindEstimate, ...]:
        """Return what there is of each kind, the largest first."""
        files: dict[str, list[Found]] = {}
        for stratum, some in self._sample.strata.items():
            files.setdefault(stratum.kind, []).extend(some)
        found = [
            KindEstimate(
                kind=kind,
                files=len(some),
                bytes=sum(file.size for file in some),
                sampled=sum(1 for one in self._sample.seen if one.stratum.kind == kind),
                pages=self.sum_of(lambda one: one.pages, kind),
                items=self.sum_of(lambda one: one.items, kind),
            )
            for kind, some in files.items()
        ]
        return tuple(sorted(found, key=lambda one: -one.bytes))

    def seconds(self, items: Amount, pictures: Amount) -> Seconds:
        """Return the time of a sync, and where it goes."""
        found = self._measured
        size = sum(file.size for files in self._sample.strata.values() for file in files)
        read = self.sum_of(lambda one: one.read_s, timed=True).times(1 / found.workers)
        read += Amount(self._sample.hash_s_a_byte * size)
        split = self.sum_of(lambda one: one.split_s, timed=True)
        texts = Amount(max(0.0, items.value - pictures.value), items.error)
        embed = texts.times(self.distinct).by(found.words.seconds)
        embed += pictures.times(self.distinct).by(found.pictures.seconds)
        write = items.times(found.written.seconds_an_item) + Amount(found.written.seconds_once)
        here = split + embed + write
        both = read + here if found.shares_cores else max(read, here, key=lambda amount: amount.value)
        whole = Amount(found.load_s) + both
        sure = Amount(whole.value, max(whole.error, _SYSTEMATIC * whole.value))
        return Seconds(found.load_s, read, split, embed, write, sure)

    def disk(self, items: Amount, embed: Amount) -> Disk:
        """Return what the store takes."""
        vectors = embed.times(4.0 * self._measured.dim)
        return Disk(vectors, items.times(self._measured.written.bytes_an_item))

    def notes(self, index: IndexRecipe, embed: Amount) -> list[str]:
        """Say what limits the estimate."""
        told = []
        strata = {one.stratum for one in self._sample.seen}
        kinds = {stratum.kind for stratum in strata}
        unseen = {
            stratum: len(some) for stratum, some in self._sample.strata.items() if stratum not in strata
        }
        by_bytes = sum(count for stratum, count in unseen.items() if stratum.kind in kinds)
        if by_bytes:
            told.append(
                f"{by_bytes} files are larger or smaller than all of the sample: reckoned by their bytes."
            )
        for kind in sorted({stratum.kind for stratum in unseen} - kinds):
            count = sum(count for stratum, count in unseen.items() if stratum.kind == kind)
            told.append(
                f"{count} files of kind {kind} are NOT in the estimate: none could be read in time; "
                "give more --sample-seconds."
            )
        if self._sample.unfinished:
            told.append(
                f"{self._sample.unfinished} chosen files were not read in time, and so the slow ones may "
                "count too little: give more --sample-seconds."
            )
        failed = self._measured.words.failed + self._measured.pictures.failed
        if failed:
            told.append(f"{failed} of the items that were embedded failed.")
        keeps = getattr(index.dense, "keeps", None)
        if keeps is not None and keeps(int(embed.value), self._measured.dim):
            told.append(
                "So many vectors get an index of their own at the end: its minutes are not in the time, "
                "and it takes up to as much disk as the vectors."
            )
        return told

    def _part(
        self, stratum: Stratum, files: Sequence[Found], value: Callable[[Seen], float], *, timed: bool
    ) -> Part:
        seen = [one for one in self._sample.seen if one.stratum == stratum]
        warm = [one for one in seen if one.is_warm] if timed else []
        used = warm or seen
        return Part(
            files=len(files),
            bytes=sum(file.size for file in files),
            sizes=[one.bytes for one in used],
            values=[value(one) for one in used],
        )
