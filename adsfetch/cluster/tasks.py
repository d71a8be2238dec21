"""What a Dask worker does for a run: it fetches a day and writes its rows to the shared folder."""

import importlib
import os
import pickle
import re
import socket
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial
from pathlib import Path

from adsfetch.errors import StoreError, TransientError, UsageError, describe
from adsfetch.fetch.isolation import call_isolated, fetch_rows
from adsfetch.function_source import LIBRARIES
from adsfetch.google.report import Access
from adsfetch.google.source import SharedConnection
from adsfetch.remembered_source import remembered_source
from adsfetch.sources import Source
from adsfetch.storage.atomic import disk_errors
from adsfetch.storage.staging import StagedDay, Staging

RUNS_REMEMBERED = 8
_starting = threading.Lock()


@dataclass(frozen=True)
class DayTask:
    """A day to fetch, in plain data; ``options`` are those of the source.

    ``timeout`` is in seconds. The rows go to ``folder``, in the form of a Staging. ``claim`` is
    the path of a file that the worker creates before the call.
    """

    run: str
    options: Mapping[str, str]
    timeout: float
    day: date
    folder: Path
    columns: tuple[str, ...]
    escape_formulas: bool
    claim: Path


@dataclass
class WorkerRun:
    """What the days of one run share in a worker; its settings are read anew for each run."""

    connections: dict[Access, SharedConnection] = field(default_factory=dict)
    sources: dict[tuple[frozenset[tuple[str, str]], float], Source] = field(default_factory=dict)
    ended: Future[None] = field(default_factory=Future)

    def source_of(self, task: DayTask) -> Source:
        key = frozenset(task.options.items()), task.timeout
        with _starting:
            if key not in self.sources:
                if "source" in task.options:
                    forget_modules(task.options["source"], task.options["folder"])
                self.sources[key] = remembered_source(task.options, task.timeout, self.connections)
            return self.sources[key]


def forget_modules(spec: str, folder: str) -> None:
    """Let the function of a source be imported as its file is now, and from its folder.

    The worker may have imported an older version for an earlier run, or a module of the same name
    from another folder.
    """
    root = re.split("[.:]", spec)[0]
    for name, module in list(sys.modules.items()):
        file, own_root = getattr(module, "__file__", None) or "", name.partition(".")[0]
        ours = own_root in ("adsfetch", "__main__", "__mp_main__")
        theirs = file and not ours and not file.startswith(LIBRARIES)
        if theirs and (own_root == root or Path(file).is_relative_to(folder)):
            del sys.modules[name]
    importlib.invalidate_caches()


@lru_cache(RUNS_REMEMBERED)
def _worker_run(_run: str) -> WorkerRun:
    return WorkerRun()


def worker_run(run: str) -> WorkerRun:
    """Return what this process holds for a run."""
    with _starting:
        return _worker_run(run)


def end_run(run: str) -> None:
    """Abandon the calls of a run in this process, and close its connections."""
    ending = worker_run(run)
    if not ending.ended.done():
        ending.ended.set_result(None)
    for source in ending.sources.values():
        source.close()


def fetch_day(task: DayTask) -> tuple[bytes, str]:
    """Return the StagedDay or the error of a day, pickled, and an error in words too.

    The process that gets it may lack the class of an error of the user.
    """
    try:
        return pickle.dumps(stage_day(task)), ""
    except Exception as error:  # noqa: BLE001 - a source may raise any exception
        if type(error) in (StoreError, UsageError):  # the folder, or a module, is missing here
            error.args = (f"{error} (on the Dask worker {socket.gethostname()})",)
        try:
            return pickle.dumps(error), describe(error)
        except Exception:  # noqa: BLE001 - it may hold what cannot be pickled
            return b"", describe(error)


def stage_day(task: DayTask) -> StagedDay:
    """Fetch a day within its time limit, and write its rows."""
    claim_call(task.claim)
    run = worker_run(task.run)
    source = run.source_of(task)
    staging = Staging(task.folder, task.columns, escape_formulas=task.escape_formulas)
    call = partial(fetch_rows, source.fetch_data, task.day, staging.write)
    return call_isolated(call, source.call_timeout, run.ended)


def claim_call(path: Path) -> None:
    """Create a file, or raise TransientError if another worker has: it was lost since then.

    Dask runs the tasks of a lost worker again by itself. The call may have been made, so that
    another one needs another permit, which the run gives when it tries the day again.
    """
    with disk_errors(path):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise TransientError("the Dask worker that fetched this day was lost") from None
