"""A process is killed while it builds, merges and publishes search indexes, with a reader beside it.

After each kill the store opens, verify is clean, the trained dense index finds what an exact search
finds, nothing that was removed is found, and the next publication brings every index up to date.
`python tests/crash/test_crash_indexes.py --rounds 200` is the long run.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crash_indexes import DENSE, EMBEDDER, INDEXES, fill, open_store, picture, publish_all
from crash_life import State, state_of

from mmrag.core.filters import parse
from mmrag.core.types import Embeddings
from mmrag.index.ann.index import FaissIndex
from mmrag.index.column_table import load_table
from mmrag.index.published import COLUMNS, LEXICAL, PICTURES, Opened, open_indexes
from mmrag.index.published import DENSE as DENSE_NAME
from mmrag.index.upkeep import row_lists
from mmrag.lanes import CALIBRATION, join_lanes
from mmrag.search import CalibratedFusion, PartLane
from mmrag.store import Store, verify

SCRIPT = Path(__file__).with_name("crash_indexes.py")
NAMES = (LEXICAL, DENSE_NAME, COLUMNS, PICTURES, CALIBRATION)
PARTS = (DENSE_NAME,) * 4 + (COLUMNS, PICTURES, CALIBRATION, LEXICAL)
K, SLACK = 10, 0.03
"""The recall is measured with other queries than those of the test."""


def _run_until_killed(path: Path, rng: random.Random) -> list[list]:
    """Return what the child said until it killed itself at a step, or was killed at some moment."""
    part, step = (rng.choice(PARTS), rng.randint(1, 40)) if rng.random() < 0.7 else ("", 0)
    command = [sys.executable, str(SCRIPT), str(path), str(rng.getrandbits(30)), part, str(step)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        said = [child.stdout.readline()]
        # Some lives have few steps in a part.
        patience = threading.Timer(3.0 if step else rng.uniform(0, 2.0), child.kill)
        patience.start()
        said += child.stdout.readlines()
        error = child.stderr.read()
    patience.cancel()
    assert b"Traceback" not in error, error.decode()
    assert child.returncode == -9
    # The last line may be cut.
    return [json.loads(line) for line in said if line.endswith(b"\n")]


def _check_searches(store: Store) -> Opened:
    """Compare all lanes and filters with what the catalog and an exact search say."""
    with store.snapshot():
        opened = open_indexes(store, INDEXES, EMBEDDER.dim)
        rows = store.rows()
        vectors = store.embeddings(rows).vectors
        items = store.items(rows)
        _check_dense(opened, rows, vectors)
        for text in ('modality == "image"', 'folder == ""', 'source == "file3.txt"'):
            where = parse(text)
            np.testing.assert_array_equal(opened.columns.rows(where), store.rows(where))
        drawn = {row: item for row, item in items.items() if item.modality == "image"}
        for row, item in drawn.items():
            found = opened.pictures.search([picture(item.text)], 1).rows.tolist()
            # A snapshot keeps no bytes of a picture that a writer replaces meanwhile.
            assert found == [[row]] or store.blob(item.parts[0].media) is None
        joined = join_lanes(store, opened, EMBEDDER, CalibratedFusion())
        parts = [lane.name for lane in joined.lanes if isinstance(lane, PartLane)]
        assert parts == (["dense:image", "dense:text"] if drawn else [])
    return opened


def _check_dense(opened: Opened, rows: np.ndarray, vectors: np.ndarray) -> None:
    rng = np.random.default_rng(len(rows))
    some = rng.choice(len(rows), min(len(rows), 64), replace=False)
    noisy = vectors[some] + rng.normal(0, 0.08, (len(some), EMBEDDER.dim)).astype(np.float32)
    queries = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    found = opened.dense.search(Embeddings.dense(queries), K)
    scores = queries @ vectors.T
    bounds = np.partition(scores, -K, axis=1)[:, -K]
    # Rows that are gone would not be found among those of the store.
    assert np.isin(found.rows, rows).all()
    own = np.take_along_axis(scores, np.searchsorted(rows, found.rows), 1)
    assert (own >= bounds[:, None] - 1e-5).mean() >= DENSE.recall - SLACK
    np.testing.assert_allclose(found.scores, own, atol=2e-3)
    itself = opened.dense.search(Embeddings.dense(vectors[some]), 1).rows[:, 0]
    assert (itself == rows[some]).mean() >= DENSE.recall


def _check(path: Path, possible: list[State]) -> None:
    with Store.open(path) as store:
        looks = {**row_lists(store, INDEXES), COLUMNS: lambda kept: load_table(kept.path).rows}
        assert verify(store, looks).problems == ()
        assert state_of(store) in possible
        _check_searches(store)
        with store.writer():
            publish_all(store)
        with store.writer():
            pass
        report = verify(store, looks)
        assert (report.problems, report.orphans) == ((), 0)
        published = {name: store.derived(name) for name in NAMES}
        assert all(published.values())
        # Lanes are measured again after a tenth of changes only.
        now = {kept.generation for name, kept in published.items() if name != CALIBRATION}
        assert now == {store.generation}
        assert isinstance(_check_searches(store).dense, FaissIndex)


def _look(path: Path, ended: threading.Event) -> int:
    """Open and search each state while another process changes it; return how often."""
    times = 0
    with Store.open(path) as store:
        while not ended.wait(0.1):
            _check_searches(store)
            times += 1
    return times


def _round(seed: int, folder: Path, lives: int) -> int:
    """Kill so many lives of one store; return how often a reader looked at it meanwhile."""
    rng, path, looks = random.Random(seed), folder / "store", 0
    with open_store(path) as store:
        fill(store, rng)
        if seed % 2:
            publish_all(store)
    for _ in range(lives):
        ended = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(_look, path, ended)
            try:
                said = _run_until_killed(path, rng)
            finally:
                ended.set()
            looks += reader.result()
        # The commit that was under way may or may not have come through.
        last = max(i for i, (word, _) in enumerate(said) if word == "committed")
        _check(path, [state for _, state in said[last:]])
    return looks


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_publication_loses_nothing(tmp_path: Path, seed: int) -> None:
    assert _round(seed, tmp_path, lives=3) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    wanted = parser.parse_args()
    started, done, looks, lives = time.monotonic(), 0, 0, 4
    while done < wanted.rounds and time.monotonic() - started < wanted.seconds:
        seed = wanted.seed * 1_000_000 + done
        folder = Path(tempfile.mkdtemp())
        try:
            looks += _round(seed, folder, lives)
        except BaseException:
            print(f"The round with seed {seed} failed; its files: {folder}", flush=True)
            raise
        shutil.rmtree(folder)
        done += lives
    print(f"{done} processes killed, {looks} looks beside them, in {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
