"""Metrics of the processes of one master, read from /proc at each scrape."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.run_folder import METRICS_VARIABLE

PROC = Path("/proc")
WORKER_FILE = re.compile(r"gauge_livesum_(\d+)\.db")
"""A file of the metrics that is removed when its worker has ended: see gunicorn.conf.py."""
ATTEMPTS = 3


class _Times(NamedTuple):
    """The parent of a process, and its ticks of CPU time."""

    parent: int
    own: int
    of_ended_children: int


class ProcessMetrics(Collector):
    """Reads the figures of the workers; without gunicorn those of this process."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; none where /proc does not exist or may not be read."""
        try:
            workers = _workers()
            seconds = _cpu_ticks(workers) / os.sysconf("SC_CLK_TCK")
            resident = sum(map(_resident_bytes, workers))
            files = sum(map(_open_files, workers))
        except OSError:
            return
        yield GaugeMetricFamily("bookstall_workers", "Running workers", len(workers))
        yield CounterMetricFamily(
            "bookstall_process_cpu_seconds",
            "CPU time of the master and all its workers, ended ones included",
            seconds,
        )
        yield GaugeMetricFamily(
            "bookstall_process_resident_bytes",
            "Memory of the workers; what they share counts in each",
            resident,
        )
        yield GaugeMetricFamily("bookstall_process_open_files", "Open files of the workers", files)


def _workers() -> list[int]:
    """Return the process ids of all workers of this one's master; its own without a master."""
    own = os.getpid()
    folder = os.environ.get(METRICS_VARIABLE)
    if not folder:
        return [own]
    names = [WORKER_FILE.fullmatch(path.name) for path in Path(folder).iterdir()]
    pids = {int(name[1]) for name in names if name} | {own}
    times = {pid: _times(pid) for pid in pids}
    return [pid for pid, each in times.items() if each and each.parent == os.getppid()]


def _cpu_ticks(workers: list[int]) -> int:
    """Return the CPU time of the master and of all its workers, which never becomes less."""
    if not os.environ.get(METRICS_VARIABLE):
        return sum(each.own for pid in workers if (each := _times(pid)))
    master = os.getppid()
    for _ in range(ATTEMPTS):
        before = _times(master)
        own = sum(each.own for pid in workers if (each := _times(pid)))
        after = _times(master)
        if before and after and before.of_ended_children == after.of_ended_children:
            return after.own + after.of_ended_children + own
        workers = _workers()  # one of them has ended meanwhile
    raise OSError("workers end all the time")


def _times(pid: int) -> _Times | None:
    """Read the times of a process; return None if it does not exist."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if not PROC.exists():
            raise
        return None
    # The name of the program comes before these and may contain anything.
    fields = text.rpartition(")")[2].split()
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return _Times(int(fields[1]), user + system, ended_user + ended_system)


def _resident_bytes(pid: int) -> int:
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended
    return pages * os.sysconf("SC_PAGE_SIZE")


def _open_files(pid: int) -> int:
    try:
        return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return 0
