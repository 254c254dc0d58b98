"""A process is killed while it builds an index beside another one and swaps the two.

After each kill the folder has one whole index, the old or the new one, which finds what it should, and
the recipe that it remembers is its own. `python tests/crash/test_crash_swap.py --rounds 100` is the long run.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crash_swap import DIMS, register, write_recipes

from mmrag import Pipeline
from mmrag.recipes import COMPONENTS
from mmrag.store import Store, verify
from mmrag.store.swap import building_path, retired_path

SCRIPT = Path(__file__).with_name("crash_swap.py")
WORDS = ("valve", "sieve", "lever", "gasket", "piston")


@pytest.fixture(autouse=True)
def known():
    register()
    yield
    COMPONENTS.embedder._registered.pop("hashing", None)


def _run_and_kill(docs: Path, folder: Path, *, lines: int, delay_s: float) -> list[list[str]]:
    command = [sys.executable, str(SCRIPT), str(docs), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        said = [child.stdout.readline() for _ in range(lines)]
        time.sleep(delay_s)
        child.kill()
        said += child.stdout.readlines()
        error = child.stderr.read()
    assert b"Traceback" not in error, error.decode()
    return [line.decode().split() for line in said if line.endswith(b"\n")]


def _check(docs: Path, possible: set[int]) -> tuple[int, str]:
    """Open the folder as a user would; return the dim of its index and what the kill had left."""
    store = docs / ".mmrag"
    left = "".join(
        letter
        for letter, path in (("P", store), ("N", building_path(store)), ("O", retired_path(store)))
        if path.exists()
    )
    with Pipeline.from_folder(docs, sync="never") as pipeline:
        dim = pipeline.recipe.index.embedder.dim
        assert pipeline.store.identity["dim"] == str(dim)
        assert dim in possible, (dim, possible)
        report = pipeline.upkeep.verify()
        assert report.problems == ()
        assert len(pipeline.sources()) == len(WORDS)
        for word in WORDS:
            assert pipeline.search(word, k=1)[0].item.source == f"{word}.txt"
    assert not retired_path(store).exists()
    return dim, left


def rounds(rng: random.Random, folder: Path, count: int) -> Counter[str]:
    docs = folder / "docs"
    docs.mkdir(parents=True)
    for word in WORDS:
        (docs / f"{word}.txt").write_text(f"The {word} is made of brass. " * 20)
    recipes = write_recipes(folder)
    Pipeline.from_folder(docs, recipe=recipes[DIMS[0]]).close()
    dim, found = DIMS[0], Counter()
    for _ in range(count):
        delay_s = rng.choice([rng.uniform(0, 1.5), rng.uniform(0, 0.3)])
        said = _run_and_kill(docs, folder, lines=rng.randint(1, 4), delay_s=delay_s)
        for word, told in said:
            dim = int(told) if word != "begin" else dim
        # The one under way when the kill came may or may not have been put in place.
        dim, left = _check(docs, {dim, int(said[-1][1])} if said[-1][0] == "begin" else {dim, *DIMS})
        found[left] += 1
    for dim in DIMS:
        Pipeline.reindex(docs, recipe=recipes[dim]).close()
        assert _check(docs, {dim}) == (dim, "P")
    return found


def test_a_killed_rebuild_leaves_one_whole_index(tmp_path: Path) -> None:
    rounds(random.Random(1), tmp_path, 2)


@pytest.mark.parametrize("step", ["locked", "aside", "in place", "half removed", "removed"])
def test_a_swap_killed_after_any_step_leaves_one_whole_store(tmp_path: Path, step: str) -> None:
    path = tmp_path / "store"
    for place, name in ((path, "old"), (building_path(path), "new")):
        with Store.create(place, identity={"name": name}) as store, store.writer() as writer:
            writer.note("name", name)
            writer.commit()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "die", step, str(path)], stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")
    assert path.exists() == (step != "aside")
    with Store.open(path) as store:
        name = "old" if step == "locked" else "new"
        assert (store.identity["name"], store.note("name")) == (name, name)
        report = verify(store)
        assert (report.problems, report.orphans) == ((), 0)
        with store.writer():
            pass
    assert not retired_path(path).exists()
    assert building_path(path).exists() == (step == "locked")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    register()
    with tempfile.TemporaryDirectory() as folder:
        found = rounds(random.Random(wanted.seed), Path(folder), wanted.rounds)
    print(f"{wanted.rounds} processes killed; what they left: {dict(found)}; nothing lost.")


if __name__ == "__main__":
    main()
