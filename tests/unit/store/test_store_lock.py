from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from mmrag.core.errors import Locked
from mmrag.store import Store
from mmrag.store.lock import writer_lock

HOLDER = """
import sys
from pathlib import Path
from mmrag.store import Store
with Store.open(Path(sys.argv[1])) as store, store.writer():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_writer_is_refused_with_the_name_of_the_first(store):
    with store.writer():
        with pytest.raises(Locked) as caught, store.writer():
            pass
        assert f"process {os.getpid()} on " in caught.value.message
        with Store.open(store.path) as other, pytest.raises(Locked), other.writer():
            pass
    with store.writer():
        pass


def test_lock_holds_across_threads(store):
    refused = []

    def write() -> None:
        try:
            with store.writer():
                pass
        except Locked as error:
            refused.append(error)

    with store.writer():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_lock_of_a_dead_process_is_free(store):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match=f"process {holder.pid} on "), store.writer():
            pass
        assert store.count() == 0
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with store.writer() as writer:
        writer.cache("a", "b", b"c")
        writer.commit()


def test_lock_tells_whether_the_last_holder_failed(tmp_path):
    path = tmp_path / "lock"
    with writer_lock(path, now=lambda: datetime(2026, 1, 2, tzinfo=UTC)) as untidy:
        assert not untidy
        assert json.loads(path.read_text())["started"] == "2026-01-02T00:00:00+00:00"
    with suppress(RuntimeError), writer_lock(path) as untidy:
        assert not untidy
        raise RuntimeError
    with writer_lock(path) as untidy:
        assert untidy
    with writer_lock(path) as untidy:
        assert not untidy


def test_a_holder_without_name_is_refused_too(tmp_path):
    path = tmp_path / "lock"
    with writer_lock(path):
        path.write_text("")
        with pytest.raises(Locked, match="another process"), writer_lock(path):
            pass
