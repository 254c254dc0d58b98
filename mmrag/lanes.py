"""Which lanes search an opened store, and on which scale they are joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmrag.core.errors import ConfigError
from mmrag.core.filters import Compare
from mmrag.core.protocols import Embedder, Fusion, Rows
from mmrag.index.files import write_synced
from mmrag.index.published import Opened
from mmrag.search import (
    CalibratedFusion,
    Calibration,
    DenseLane,
    Lane,
    LexicalLane,
    PartLane,
    PictureLane,
    learn_calibration,
    main_languages,
    make_probes,
    split_by_modality,
)
from mmrag.store import Store

CALIBRATION = "calibration"
_FILE = "calibration.json"
_LEARN_AGAIN_SHARE = 0.1
_MODALITIES = ("audio", "image", "text", "video")


@dataclass(frozen=True, slots=True)
class Joined:
    """The lanes of a search and the fusion of their lists."""

    lanes: tuple[Lane, ...]
    fusion: Fusion


def join_lanes(store: Store, opened: Opened, embedder: Embedder, fusion: Fusion) -> Joined:
    """Return the lanes over opened indexes; a calibrated fusion splits the dense lane by modality."""
    dense: tuple[Lane, ...] = (_dense_lane(store, opened, embedder),)
    if isinstance(fusion, CalibratedFusion):
        dense = split_by_modality(dense[0], _rows_by_modality(opened))
        fusion = fusion.with_calibration(_known(store) or _learned(store, dense))
    pictures = (PictureLane(opened.pictures),) if opened.pictures is not None else ()
    return Joined((LexicalLane(opened.lexical), *dense, *pictures), fusion)


def publish_calibration(store: Store, opened: Opened, embedder: Embedder) -> None:
    """Learn what unrelated items score and keep it, if that is not known or the corpus has changed."""
    generation = store.generation
    lanes = split_by_modality(_dense_lane(store, opened, embedder), _rows_by_modality(opened))
    known = _known(store)
    # The first pictures among many texts are few, and have no scale yet.
    if known is not None and known.learned_on.get("lanes") == _names(lanes) and _is_current(store):
        return
    text = _learned(store, lanes).to_json()

    def write(folder: Path) -> None:
        write_synced(folder / _FILE, lambda aside: aside.write_text(text, encoding="utf-8"))

    store.publish(CALIBRATION, store.identity, generation, write)


def _dense_lane(store: Store, opened: Opened, embedder: Embedder) -> DenseLane:
    return DenseLane(embedder, opened.dense, corpus_languages=main_languages(store.languages()))


def _rows_by_modality(opened: Opened) -> Mapping[str, Rows]:
    return {name: opened.columns.rows(Compare("modality", "==", name)) for name in _MODALITIES}


def _is_current(store: Store) -> bool:
    published = store.derived(CALIBRATION)
    if published is None:
        return False
    added, removed = store.changes(published.generation)
    return len(added) + len(removed) <= _LEARN_AGAIN_SHARE * store.count()


def _known(store: Store) -> Calibration | None:
    published = store.derived(CALIBRATION)
    if published is None or published.stamp != store.identity or published.generation < store.horizon:
        return None
    try:
        return Calibration.from_json((published.path / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, ConfigError):
        return None


def _learned(store: Store, lanes: tuple[Lane, ...]) -> Calibration:
    parts = [lane for lane in lanes if isinstance(lane, PartLane)]
    probes = make_probes(store.items, store.rows()) if parts else []
    learned_on = {**store.identity, "root": store.root, "lanes": _names(lanes)}
    return learn_calibration(parts, probes, learned_on=learned_on)


def _names(lanes: tuple[Lane, ...]) -> str:
    return " ".join(lane.name for lane in lanes)
