"""An index on disk: written whole or not at all, mapped when opened, and carried on with changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import IdentityMismatch
from mmrag.core.identity import differences
from mmrag.core.protocols import Rows, VectorSource
from mmrag.index.ann.base import Base
from mmrag.index.ann.build import (
    COARSE_FILE,
    CODES_FILE,
    ENGINE_FILE,
    Built,
    build,
    composed,
    is_codes_alone,
    lists_of,
    measured_again,
    split,
)
from mmrag.index.ann.coarse import pays
from mmrag.index.ann.codes import CodesInFile, emptied, faiss, in_memory, mapped
from mmrag.index.ann.facts import Facts
from mmrag.index.ann.kinds import SMALL, Parts
from mmrag.index.ann.sources import BATCH, dense, is_decodable, narrowed
from mmrag.index.files import damaged, prepare, read_header, write_arrays, write_header, write_synced

if TYPE_CHECKING:
    from mmrag.index.ann.options import FaissOptions

KIND = "faiss"
_ALWAYS_DUE = 50_000
_DUE_ROWS, _DUE_SHARE = 5_000, 0.01
_DEAD_SHARE, _DRIFT = 0.3, 0.1
_GROWTH = {"flat": 4, "ivf": 4, "hnsw": 2}
"""A graph's points cannot be measured again with its own items, so it is built anew earlier."""


def write(folder: Path, vectors: VectorSource, options: FaissOptions) -> None:
    """Build an index over vectors into a folder; an older one there is gone from the start."""
    prepare(folder)
    if len(vectors.rows) == 0:
        _seal(folder, None, vectors.dim, options)
        return
    built = build(vectors, options, folder)
    _finish(folder, built, options, is_streamed=True)


def save(folder: Path, built: Built | None, dim: int, options: FaissOptions) -> None:
    """Write an index that is in memory into a folder; an older one there is gone from the start."""
    prepare(folder)
    if built is None:
        _seal(folder, None, dim, options)
    else:
        _finish(folder, built, options, is_streamed=False)


def open_index(folder: Path, options: FaissOptions) -> tuple[int, Built | None]:
    """Open an index, mapped, and return it with the length of a vector that it takes.

    Raises:
        Damaged: A file is missing or torn.
        IdentityMismatch: It was built with other options.
    """
    header = read_header(folder, KIND)
    identity = header.get("identity")
    if not isinstance(identity, dict):
        raise damaged(folder, KIND, "its header does not say what it was built with")
    if different := differences(identity, options.identity):
        raise IdentityMismatch(
            f"The index was built with other options ({'; '.join(different)}).",
            fix="Load it with the options that it was built with, or build it anew.",
            where=str(folder),
        )
    try:
        dim, count = int(header["dim"]), int(header["count"])
        if count == 0:
            return dim, None
        facts = msgspec.convert(header["facts"], Facts)
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise damaged(folder, KIND, f"index.json is not as this version writes it ({error})") from error
    return dim, _opened(folder, facts, count)


def update(old: Path, folder: Path, added: VectorSource, removed: Rows, options: FaissOptions) -> None:
    """Write an old index with some changes into an empty folder, as it was trained.

    The coarse part is read into memory and grows there; the finer codes are copied from file to file.
    An index without rows, or too small to have been trained, is built anew when that is possible.

    Raises:
        Damaged: The old index cannot be used.
    """
    started = process_time()
    dim, was = open_index(old, options)
    prepare(folder)
    if was is None:
        write(folder, added, options)
        return
    facts, base = was.facts, was.base
    engine, codes = split(base.engine, facts.parts)
    if engine is not None:
        engine = _read(old, ENGINE_FILE, in_memory)
    sink = None if codes is None else CodesInFile(emptied(codes), folder / CODES_FILE, old / CODES_FILE)
    for _, batch in added.batches(BATCH):
        kept = narrowed(dense(batch), facts.dim)
        if engine is not None:
            engine.add(kept)
        if sink is not None:
            sink.add(kept)
    codes = None if sink is None else sink.close()
    fresh = np.asarray(added.rows)
    gone = np.flatnonzero(np.isin(base.rows, np.union1d(fresh, removed)))
    rows = np.concatenate([base.rows, fresh])
    dead = np.union1d(base.dead, gone).astype(np.int64)
    lists = lists_of(engine)
    rising = facts.rising and bool(len(fresh) == 0 or fresh[0] > base.rows[-1])
    grown = Base(rows, composed(engine, codes), lists, dead, base.points)
    built = Built(grown, replace(facts, rising=rising), was.coarse)
    if has_drifted(built, changed=len(fresh) + len(gone)):
        built = measured_again(built, options)
    seconds = round(facts.build_cpu_s + process_time() - started, 3)
    built = replace(built, facts=replace(built.facts, build_cpu_s=seconds))
    if len(dead) == len(rows):
        (folder / CODES_FILE).unlink(missing_ok=True)
        _seal(folder, None, dim, options)
    else:
        _finish(folder, built, options, is_streamed=True)


def is_due(old: Path, count: int, added: int, removed: int) -> bool:
    """Tell whether so many changes are worth an update.

    Fresh rows are scanned by every query: 5,000 of 384 dimensions take about a quarter of a millisecond,
    as long as the search of the rest. An update rewrites the files, so that the bound rises with them.
    """
    changed = added + removed
    return changed > 0 and (count <= _ALWAYS_DUE or changed > max(_DUE_ROWS, _DUE_SHARE * count))


def is_worn(old: Path, added: int, removed: int) -> bool:
    """Tell whether an index should be written anew: it grew fourfold, or nearly a third of it is dead.

    Raises:
        Damaged: The old index cannot be used.
    """
    header = read_header(old, KIND)
    if not header["count"]:
        return True
    facts = msgspec.convert(header["facts"], Facts)
    return wears(facts, int(header["count"]), int(header["dead"]), added, removed)


def wears(facts: Facts, count: int, dead: int, added: int, removed: int) -> bool:
    """Tell the same of an index with so many positions, of which some are dead."""
    after = count + added
    if facts.parts == Parts("flat", "f32"):
        # Nothing to train: rows that went are worth their room only while few.
        return (facts.kind != "flat" and after - dead - removed >= SMALL) or dead + removed > 0.1 * after
    return after >= _GROWTH[facts.parts.structure] * facts.trained or dead + removed > _DEAD_SHARE * after


def has_drifted(built: Built, *, changed: int) -> bool:
    """Tell whether so many rows changed that the operating points are measured again."""
    live = len(built.base) - len(built.base.dead)
    facts = built.facts
    moved = max(changed, abs(live - facts.measured))
    if live == 0 or not facts.points or not is_decodable(facts.parts) or facts.parts.structure == "hnsw":
        return False
    return moved > _DRIFT * facts.measured


def _finish(folder: Path, built: Built, options: FaissOptions, *, is_streamed: bool) -> None:
    base, facts = built.base, built.facts
    engine, codes = split(base.engine, facts.parts)
    parts = {ENGINE_FILE: engine, COARSE_FILE: built.coarse, CODES_FILE: codes}
    files = [name for name, part in parts.items() if part is not None]
    for name in files:
        if not (is_streamed and name == CODES_FILE):
            write_synced(folder / name, partial(_write_part, parts[name]))
    arrays: dict[str, NDArray[np.generic]] = {"rows.npy": base.rows, "dead.npy": base.dead}
    if base.lists is not None:
        arrays["lists.npy"] = base.lists
    write_arrays(folder, arrays)
    _seal(folder, built, facts.full_dim, options, (*files, *arrays))


def _seal(
    folder: Path, built: Built | None, dim: int, options: FaissOptions, files: tuple[str, ...] = ()
) -> None:
    facts: dict[str, object] = {"identity": options.identity, "dim": dim, "count": 0, "dead": 0}
    if built is not None:
        facts |= {"count": len(built.base), "dead": len(built.base.dead), "facts": asdict(built.facts)}
    write_header(folder, KIND, facts, files)


def _opened(folder: Path, facts: Facts, count: int) -> Built:
    has_codes = facts.parts.refine != "none" or is_codes_alone(facts.parts)
    # Copied out of a map, packed codes would stand in memory twice.
    how = in_memory if facts.parts.is_packed else mapped
    engine = None if is_codes_alone(facts.parts) else _read(folder, ENGINE_FILE, how)
    codes = _read(folder, CODES_FILE, mapped) if has_codes else None
    rows, dead = (_read(folder, name, _map_npy) for name in ("rows.npy", "dead.npy"))
    lists = _read(folder, "lists.npy", _map_npy) if facts.parts.structure == "ivf" else None
    coarse = _read(folder, COARSE_FILE, mapped) if pays(facts.lists) else None
    if coarse is not None and (coarse.ntotal, coarse.d) != (facts.lists, facts.dim):
        raise damaged(folder, KIND, f"{COARSE_FILE} holds {coarse.ntotal} lists, not {facts.lists}")
    counted = {ENGINE_FILE: engine, CODES_FILE: codes}
    found = {name: (part.ntotal, part.d) for name, part in counted.items() if part is not None}
    found |= {"rows.npy": (len(rows), facts.dim)}
    if lists is not None:
        found["lists.npy"] = (len(lists), facts.dim)
    for name, (number, dim) in found.items():
        if (number, dim) != (count, facts.dim):
            raise damaged(
                folder, KIND, f"{name} holds {number} rows of dim {dim}, not {count} of dim {facts.dim}"
            )
    _check_range(folder, "dead.npy", dead, count)
    if lists is not None:
        _check_range(folder, "lists.npy", lists, facts.lists)
    return Built(Base(rows, composed(engine, codes), lists, dead, facts.points), facts, coarse)


def _check_range(folder: Path, name: str, numbers: NDArray[Any], end: int) -> None:
    # It takes 0.2 ms for a million lists; FAISS itself checks no number that it is given.
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < end:
        raise damaged(folder, KIND, f"{name} holds {numbers.min()} to {numbers.max()} of 0 to {end - 1}")


def _read(folder: Path, name: str, read: Callable[[Path], Any]) -> Any:
    try:
        return read(folder / name)
    # FAISS raises RuntimeError, or MemoryError where it takes foreign bytes for a length.
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise damaged(folder, KIND, f"{name} cannot be read ({str(error)[-80:]})") from error


def _map_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    # An array without values cannot be mapped.
    array: NDArray[Any] = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
    return array


def _write_part(part: Any, path: Path) -> None:
    faiss().write_index(part, str(path))
