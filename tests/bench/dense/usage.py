"""What a process and all it started use: CPU seconds, memory, disk. Linux only: read from /proc."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def cpu_s() -> float:
    """Return the CPU seconds of this process, all threads, and of its children, running or ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(sum(map(int, _stat(pid)[11:13])) for pid in _children(os.getpid()))
    return time.process_time() + ended.ru_utime + ended.ru_stime + running / _TICKS


def rss_mb() -> float:
    """Return the resident memory of this process and its children, mapped files included, in MB."""
    pids = [os.getpid(), *_children(os.getpid())]
    return sum(int(_stat(pid)[21]) for pid in pids) * _PAGE / 1e6


def peak_rss_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def disk_mb(folder: Path) -> float:
    """Return the size of the files under a folder, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
