"""A writer is killed at random moments; what it had committed is there, and the store is whole."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmrag.core.identity import digest_bytes
from mmrag.store import Store, verify

SCRIPT = Path(__file__).with_name("crash_writer.py")


def _run_and_kill(path: Path, seed: int, *, lines: int, delay_s: float) -> list[list]:
    """Return what the writer said until it was killed, `delay_s` seconds after so many lines."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(path), str(seed)], stdout=subprocess.PIPE
    ) as writer:
        said = [writer.stdout.readline() for _ in range(lines)]
        time.sleep(delay_s)
        writer.kill()
        said += writer.stdout.readlines()
    # The last line may be cut.
    return [json.loads(line) for line in said if line.endswith(b"\n")]


@pytest.mark.parametrize("seed", range(5))
def test_killed_writers_lose_nothing(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / ".mmrag"
    for life in range(3):
        delay_s = rng.choice([0, rng.uniform(0, 0.05)])
        said = _run_and_kill(path, seed * 10 + life, lines=rng.randint(1, 30), delay_s=delay_s)
        # The commit that was under way may or may not have come through.
        possible = [state for word, state in said if word == "committed"][-1:]
        possible += [said[-1][1]] if said[-1][0] == "committing" else []
        with Store.open(path) as store:
            assert verify(store).problems == ()
            rows = store.rows()
            items = store.items(rows)
            state: dict[str, list[str]] = {record.source.id: [] for record in store.sources()}
            for item in items.values():
                state[item.source].append(item.text)
            assert {id: sorted(texts) for id, texts in state.items()} in possible
            vectors = store.embeddings(rows)
            for row, vector in zip(rows.tolist(), vectors, strict=True):
                expected = [b / 255 for b in digest_bytes(items[row].text.encode())[:16].encode()]
                np.testing.assert_array_equal(vector[0], np.array(expected, dtype=np.float32))
    with Store.open(path) as store:
        with store.writer():
            pass
        report = verify(store)
        assert (report.problems, report.orphans) == ((), 0)
