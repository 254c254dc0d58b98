"""Put an estimate together: look at the folder, take the sample, reckon."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from mmrag.core.errors import MmragError
from mmrag.core.protocols import Embedder
from mmrag.core.weights import find_model
from mmrag.corpus.ocr import OcrMemory
from mmrag.embed.check import weights_of
from mmrag.estimate.look import Tools, busy_notes, look_at
from mmrag.estimate.reckon import Measured, Reckoning
from mmrag.estimate.report import Estimate, Memory, Sampled
from mmrag.estimate.sample import Sample, Stratum, read_sample, strata_of, workers_for
from mmrag.estimate.trial import Trial, gpu_peak_bytes, is_picture, load, uses_gpu
from mmrag.opening import choose
from mmrag.places import Places
from mmrag.recipes import IndexRecipe
from mmrag.store import Store

_READING = 0.5
"""The share of the time that goes to reading; the rest is for embedding."""


def estimate(
    folder: str | Path,
    *,
    recipe: str | Path | None = None,
    model: str | Path | None = None,
    store: str | Path | None = None,
    sample_s: float = 20.0,
    seed: int = 0,
) -> Estimate:
    """Say what a sync of a folder will take, from a sample that is read and embedded for real.

    Nothing is written into the folder or its store. Loading the model takes longer than `sample_s` says.

    Args:
        folder: The corpus.
        recipe: A shipped recipe's name, or the path of a YAML file; unless given, that of the index there.
        model: Takes the place of the embedder's own model.
        store: Where the index lives; what it holds already is not counted again.
        sample_s: About how many seconds the sample takes, the loading of the model left out.
        seed: Fixes what is drawn.

    Raises:
        ConfigError: The folder or recipe does not exist.
        NotFound: The model is not on this machine.
    """
    started, busy = time.monotonic(), busy_notes()
    places = Places.of(folder, store)
    plan, _ = choose(places, recipe, model)
    embedder: Embedder = plan.index.embedder.build()
    tools = Tools.of(plan.index, embedder)
    look = look_at(places, tools, embedder)
    load_s = load(embedder)
    blank = Store.empty(places.store, identity=embedder.identity)
    try:
        memory = OcrMemory(blank)
        desk = tools.desk(places.folder, memory, partial(is_picture, embedder=embedder))
        strata = strata_of(look.todo, desk.readers)
        sample = read_sample(strata, desk, seconds=sample_s * _READING, seed=seed)
        trial = Trial(embedder, plan.index, places.folder, sample.intakes)
        weights = _weights(sample)
        left = max(1.0, sample_s - sample.seconds)
        share = _picture_share(sample)
        words = trial.pace(blank, weights, pictures=False, seconds=left * (1 - share), seed=seed)
        pictures = trial.pace(blank, weights, pictures=True, seconds=left * share, seed=seed)
        written = trial.write()
    finally:
        blank.close()
    # A server computes elsewhere.
    shares_cores = not uses_gpu(embedder) and not hasattr(plan.index.embedder, "server")
    workers = workers_for(look.todo, desk.readers)
    measured = Measured(load_s, words, pictures, written, workers, shares_cores, embedder.dim)
    reckoning = Reckoning(sample, measured)
    items, images = reckoning.sum_of(lambda one: one.items), reckoning.sum_of(lambda one: one.pictures)
    embed = items.times(reckoning.distinct)
    return Estimate(
        recipe=plan.name,
        embedder=str(embedder.identity.get("model", embedder.identity.get("embedder", ""))),
        files=look.files,
        bytes=look.bytes,
        unchanged=look.unchanged,
        blocked=look.blocked,
        kinds=reckoning.kinds(),
        pages=reckoning.sum_of(lambda one: one.pages),
        items=items,
        embed=embed,
        pictures=images,
        seconds=reckoning.seconds(items, images),
        memory=_memory(plan.index, embedder, workers),
        disk=reckoning.disk(items, embed),
        sampled=Sampled(
            files=len(sample.seen),
            items=sum(one.items for one in sample.seen),
            embedded=words.items + pictures.items,
            seconds=time.monotonic() - started,
            unfinished=sample.unfinished,
        ),
        notes=(*busy, *look.notes, *tools.notes, *reckoning.notes(plan.index, embed)),
    )


def _weights(sample: Sample) -> dict[Stratum, float]:
    """Return how many items of the corpus stand behind one that was kept."""
    weights = {}
    for stratum, files in sample.strata.items():
        kept = sum(len(intake.items) for of, intake in sample.intakes if of == stratum)
        seen = sum(1 for one in sample.seen if one.stratum == stratum)
        items = sum(one.items for one in sample.seen if one.stratum == stratum)
        if kept and seen:
            weights[stratum] = items / seen * len(files) / kept
    return weights


def _picture_share(sample: Sample) -> float:
    """Return the share of the time for embedding that goes to pictures, which take longer than words."""
    pictures = sum(one.pictures for one in sample.seen)
    items = sum(one.items for one in sample.seen)
    return 0.0 if not pictures else 1.0 if pictures == items else 0.6


def _memory(index: IndexRecipe, embedder: Embedder, workers: int) -> Memory:
    here, reader = _peaks()
    return Memory(here, reader, workers, gpu_peak_bytes(embedder), _weight_bytes(index))


def _peaks() -> tuple[int | None, int | None]:
    """Return the peak of this process, and that of the largest of those that it started and that ended."""
    if sys.platform == "win32":
        return None, None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return here, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def _weight_bytes(index: IndexRecipe) -> int | None:
    named = getattr(index.embedder, "model", None)
    if not isinstance(named, str):
        return None
    with suppress(MmragError):
        weights = weights_of(find_model(named, getattr(index.embedder, "revision", None)))
        wide = getattr(index.embedder, "dtype", "auto") == "float32"
        return weights.parameters * (4 if wide else 2)
    return None
