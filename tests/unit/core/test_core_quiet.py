"""Loading is quiet, and leaves the library as talkative as it was, however many load at once."""

import subprocess
import sys
import threading
from pathlib import Path

from transformers.utils import logging

from mmrag.core.quiet import quiet_loading
from mmrag.testing.tiny import build_tiny


def test_two_that_load_at_once_leave_the_library_as_it_was() -> None:
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with quiet_loading():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    with quiet_loading():
        # The first one leaves while this one is still loading.
        go.set()
        thread.join()
        assert not logging.is_progress_bar_enabled()
        assert logging.get_verbosity() == logging.ERROR
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_loading_a_dual_encoder_prints_nothing(tmp_path: Path) -> None:
    build_tiny("clip", tmp_path / "clip")
    code = """
import sys
from mmrag.embed.dual import DualOptions
DualOptions(model=sys.argv[1], architecture="clip").build()._model.load("cpu")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "clip")], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
