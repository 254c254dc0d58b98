"""`mmrag watch`: what is saved can be found a moment later."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmrag import Pipeline
from mmrag.core.errors import ConfigError


def _start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-m", "mmrag", "watch", str(folder), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _report(process: "subprocess.Popen[str]") -> dict:
    line = process.stdout.readline()
    assert line, process.stderr.read()
    report = json.loads(line)
    assert report["command"] == "watch"
    return report


def _sources(folder: Path, words: str) -> set[str]:
    with Pipeline.from_folder(folder, sync="never") as pipeline:
        return {hit.item.source for hit in pipeline.search(words, k=3)}


def test_a_watched_folder_is_followed_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "pump.txt").write_text("The impeller of the pump is made of bronze.")
    process = _start(tmp_path)
    try:
        assert _report(process)["plan"]["added"] == 1
        (tmp_path / "seal.txt").write_text("The shaft seal is made of graphite.")
        assert _report(process)["changes"]["added"] == ["seal.txt"]
        assert "seal.txt" in _sources(tmp_path, "graphite")
        (tmp_path / "seal.txt").unlink()
        assert _report(process)["changes"]["removed"] == ["seal.txt"]
        assert "seal.txt" not in _sources(tmp_path, "graphite")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == f"Watching {tmp_path}; Ctrl-C ends.\n"
    finally:
        process.kill()
        process.communicate()


def test_a_watch_waits_for_another_writer(tmp_path: Path) -> None:
    (tmp_path / "pump.txt").write_text("The impeller of the pump is made of bronze.")
    stop = threading.Event()
    with (
        Pipeline.from_folder(tmp_path, sync="later") as pipeline,
        Pipeline.from_folder(tmp_path, sync="later") as other,
    ):
        reports = pipeline.watch(stop=stop, workers=0)
        with other.store.writer():
            waiter = threading.Thread(target=lambda: (next(reports), stop.set()))
            waiter.start()
            time.sleep(0.2)
            assert not stop.is_set()
        waiter.join(timeout=60)
        assert stop.is_set()
        assert list(reports) == []
        assert pipeline.search("bronze impeller")[0].item.source == "pump.txt"


def test_a_folder_that_goes_away_ends_the_watch_with_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pump.txt").write_text("The impeller of the pump is made of bronze.")
    with Pipeline.from_folder(folder, store=tmp_path / "store", sync="later") as pipeline:
        reports = pipeline.watch(every_s=0.1, workers=0)
        next(reports)
        (folder / "pump.txt").unlink()
        folder.rmdir()
        with pytest.raises(ConfigError, match="folder"):
            list(reports)
