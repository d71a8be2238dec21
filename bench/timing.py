"""Queries timed in this process, on each database in turn."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from sqlalchemy import text

from stack.servers import Postgres
from stress.data import engine_of


@contextmanager
def postgres() -> Iterator[str]:
    """Give the URL of a new database on a server of its own."""
    with Postgres() as server:
        yield server.new_database("bench")


@contextmanager
def sqlite() -> Iterator[str]:
    """Give the URL of a file that is not there yet."""
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'bench.db'}"


DATABASES = {"PostgreSQL": postgres, "SQLite": sqlite}


def tidy(name: str, url: str) -> None:
    """Let the database count what it has, as it does by itself in time."""
    with engine_of(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE" if name == "PostgreSQL" else "ANALYZE"))


def timed(app: Flask, path: str, read: Callable[[], Any]) -> Callable[[], float]:
    """Make a call that reads as a request for ``path`` would, and returns the milliseconds."""

    def once() -> float:
        with app.test_request_context(path):
            began = time.perf_counter()
            read()
            return (time.perf_counter() - began) * 1000

    return once


def interleaved(reads: Mapping[str, Callable[[], float]], times: int) -> Mapping[str, list[float]]:
    """Time all of ``reads`` in turns, as many ``times``, after one that does not count."""
    for read in reads.values():
        read()
    found: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(times):
        for name, read in reads.items():
            found[name].append(read())
    return found
