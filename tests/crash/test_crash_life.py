"""A process is killed while it writes, deletes, publishes, reindexes, packs, forgets, migrates or imports.

After each kill the store opens without a command, verify is clean, what was committed is there, and
searches find what they find in a run that nobody interrupted. `python tests/crash/test_crash_life.py
--rounds 300` is the long run.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crash_life import DENSE, EMBEDDER, INDEXES, WORDS, State, open_store, put, state_of

from mmrag.core.types import Query, SourceId
from mmrag.index.published import open_dense, open_lexical
from mmrag.index.upkeep import row_lists
from mmrag.store import Store, export_store, import_store, verify

SCRIPT = Path(__file__).with_name("crash_life.py")
FIXTURE = Path(__file__).parents[1] / "fixtures" / "stores" / "format-1.tar.gz"
KINDS = ("live",) * 4 + ("migrate", "import")


def _run_and_kill(
    kind: str, path: Path, scratch: Path, seed: int, *, lines: int, delay_s: float
) -> list[list]:
    """Return what the child said until it was killed, `delay_s` seconds after so many lines."""
    command = [sys.executable, str(SCRIPT), kind, str(path), str(scratch), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        said = [child.stdout.readline() for _ in range(lines)]
        time.sleep(delay_s)
        child.kill()
        said += child.stdout.readlines()
        error = child.stderr.read()
    assert b"Traceback" not in error, error.decode()
    # The last line may be cut.
    return [json.loads(line) for line in said if line.endswith(b"\n")]


def _check(store: Store, possible: list[State], rng: random.Random) -> State:
    report = verify(store, row_lists(store, INDEXES))
    assert report.problems == ()
    state = state_of(store)
    assert state in possible
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "s") as uninterrupted:
        with uninterrupted.writer() as writer:
            for id, texts in state.items():
                put(writer, id, texts)
            writer.commit()
        assert store.root == uninterrupted.root == report.root
        _compare_searches(store, uninterrupted, state, rng)
    return state


def _compare_searches(store: Store, other: Store, state: State, rng: random.Random) -> None:
    texts = [text for own in state.values() for text in own]
    for text in rng.sample(texts, min(len(texts), 5)):
        found = []
        for one in (store, other):
            by_word = open_lexical(one, WORDS).search([text.split()[-1]], 3).rows[0]
            queries = EMBEDDER.embed_queries([Query.of(text)])
            nearest = open_dense(one, DENSE, EMBEDDER.dim).search(queries, 3)
            items = one.items([row for row in [*by_word, nearest.rows[0, 0]] if row >= 0])
            found.append((sorted((item.source, item.text) for item in items.values()), nearest.scores))
        assert found[0][0] == found[1][0]
        assert any(hit == text for _, hit in found[0][0])
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


def _check_traces(path: Path, said: list[list], state: State) -> None:
    """A forgetting that got through has left no word of the sources, once a writer has come by."""
    files = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    living = {text for own in state.values() for text in own}
    for (_, before), (word, after) in pairwise(said):
        if word == "forgetting":
            gone = {text for id in before.keys() - after.keys() for text in before[id]}
            assert not [text for text in gone - living if text.split()[-1].encode() in files]


def live(rng: random.Random, path: Path, scratch: Path, lives: int) -> None:
    for _ in range(lives):
        delay_s = rng.choice([0, rng.uniform(0, 0.02), rng.uniform(0, 0.3)])
        said = _run_and_kill(
            "live", path, scratch, rng.getrandbits(30), lines=rng.randint(1, 40), delay_s=delay_s
        )
        # The commit that was under way may or may not have come through.
        ended = max(i for i, (word, _) in enumerate(said) if word == "committed")
        possible = [state for _, state in said[ended:]]
        with Store.open(path) as store:
            state = _check(store, possible, rng)
            with store.writer():
                pass
            report = verify(store, row_lists(store, INDEXES))
            assert (report.problems, report.orphans) == ((), 0)
        _check_traces(path, said, state)
        if Store.exists(scratch / "copy"):
            with Store.open(scratch / "copy") as copy:
                assert verify(copy).problems == ()


def migrate(rng: random.Random, path: Path, scratch: Path) -> None:
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(scratch, filter="data")
    store = scratch / "docs" / ".mmrag"
    whole = json.loads(FIXTURE.with_name("format-1.json").read_text("utf-8"))
    _run_and_kill("migrate", store, scratch, 0, lines=1, delay_s=rng.uniform(0, 0.08))
    with Store.open(store) as opened:
        assert verify(opened).problems == ()
        items = opened.items(opened.rows()).values()
        assert {item.id: item.text for item in items} == {
            id: item["text"] for id, item in whole["items"].items()
        }
        assert len(opened.embeddings(opened.rows())) == len(items)
        with opened.writer():
            pass
        assert verify(opened).orphans == 0


def bring_in(rng: random.Random, path: Path, scratch: Path) -> None:
    with open_store(scratch / "origin") as origin:
        with origin.writer() as writer:
            for i in range(rng.randint(1, 40)):
                put(writer, f"{i}.txt", [f"text {i} {j}" for j in range(5)])
            writer.commit()
        export_store(origin, scratch / "export")
        root = origin.root
    _run_and_kill("import", path, scratch, 0, lines=1, delay_s=rng.uniform(0, 0.15))
    if not Store.exists(path):
        assert not path.exists()
        import_store(scratch / "export", path).close()
    with Store.open(path) as store:
        report = verify(store)
        assert (report.problems, report.orphans, report.root) == ((), 0, root)
        assert len(store.rows_of(SourceId("0.txt"))) == 5


def _round(kind: str, seed: int, folder: Path, lives: int = 1) -> None:
    rng = random.Random(seed)
    scratch = folder / "scratch"
    scratch.mkdir()
    if kind == "live":
        live(rng, folder / "store", scratch, lives)
    else:
        {"migrate": migrate, "import": bring_in}[kind](rng, folder / "store", scratch)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("kind", "lives"), [("live", 3), ("migrate", 1), ("import", 1)])
def test_a_killed_process_loses_nothing(tmp_path: Path, kind: str, lives: int, seed: int) -> None:
    _round(kind, seed, tmp_path, lives)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    wanted = parser.parse_args()
    started, done = time.monotonic(), Counter()
    while done.total() < wanted.rounds and time.monotonic() - started < wanted.seconds:
        kind = KINDS[done.total() % len(KINDS)]
        lives = 4 if kind == "live" else 1
        seed = wanted.seed * 1_000_000 + done.total()
        folder = Path(tempfile.mkdtemp())
        try:
            _round(kind, seed, folder, lives)
        except BaseException:
            print(f"The round with seed {seed} ({kind}) failed; its files: {folder}", flush=True)
            raise
        shutil.rmtree(folder)
        done[kind] += lives
    print(
        f"{done.total()} processes killed ({dict(done)}) in {time.monotonic() - started:.0f} s; nothing lost."
    )


if __name__ == "__main__":
    main()
