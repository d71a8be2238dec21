"""A Dask cluster on this machine: a scheduler and workers, in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import PATIENCE, wait_until

LOCAL = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]


class DaskCluster:
    """The processes of a cluster; the workers have the environment of a test."""

    def __init__(self, folder: Path, environment: dict[str, str], threads: int = 4) -> None:
        self.folder, self._environment, self._threads = folder, environment, threads
        self._record = folder / "scheduler.json"
        self._started = 0
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--port", "0")
        wait_until(self._record.exists)

    @property
    def address(self) -> str:
        """Return what ``--executor`` takes."""
        address: str = json.loads(self._record.read_text())["address"]
        return address.replace("tcp://", "dask://")

    def have_workers(self, number: int) -> None:
        """Start workers, also for those that were killed, and wait until there are so many."""
        self.workers = [process for process in self.workers if process.poll() is None]
        options = ["--nthreads", str(self._threads), "--memory-limit", "0", "--no-nanny"]
        options += ["--local-directory", str(self.folder)]
        while len(self.workers) < number:
            self.workers.append(self._start("worker", *options))
        names = [f"worker{n}" for n in range(self._started) if (self._log(f"worker{n}")).exists()]
        wait_until(lambda: all("Registered to" in self._log(name).read_text() for name in names))

    def kill(self) -> None:
        """End all processes."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(PATIENCE)

    def _start(self, kind: str, *options: str) -> "subprocess.Popen[bytes]":
        program = [sys.executable, "-m", "dask", kind, *LOCAL, *options]
        with self._log(f"{kind}{self._started}").open("wb") as log:
            self._started += 1
            return subprocess.Popen(
                [*program, "--scheduler-file", str(self._record)],
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
            )

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def dask_cluster(
    folder: Path, environment: dict[str, str], workers: int, threads: int = 4
) -> Iterator[DaskCluster]:
    """Run a cluster with so many workers, each with so many threads."""
    folder.mkdir(exist_ok=True)
    cluster = DaskCluster(folder, environment, threads)
    try:
        cluster.have_workers(workers)
        yield cluster
    finally:
        cluster.kill()
