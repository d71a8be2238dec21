"""The log of slow queries: the text of a statement, how long it took, and for which request.

The text has no values: the driver gets them apart from it. Waiting for a lock counts, and so does
a statement that fails, such as one that PostgreSQL cancels. SQLite counts up to the first row.
Exports are not measured: they may take long.
"""

import logging
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from prometheus_client import Counter
from sqlalchemy import Engine

SLOW_SECONDS = 0.5
LINES_PER_SECOND = 5
"""More are only counted; the next line says how many."""
MAX_TEXT = 2_000
"""Characters of a statement that are logged."""
SLOW = Counter("bookstall_slow_queries_total", f"Statements that took {SLOW_SECONDS} s or longer")
log = logging.getLogger("bookstall.queries")


class SlowQueries:
    """Measures the statements of engines.

    ``about_request`` returns the fields of a log record about the current request.
    """

    def __init__(self, about_request: Callable[[], Mapping[str, Any]]) -> None:
        self._about_request = about_request
        self._lock = Lock()
        self._second = 0
        self._lines = self._omitted = 0

    def measure(self, *engines: Engine) -> None:
        """Measure each statement of ``engines``.

        Not by its events: an engine with any listener makes each statement 16 us longer.
        """
        for engine in engines:
            dialect: Any = engine.dialect
            dialect.do_execute = self._measured(dialect.do_execute)
            dialect.do_executemany = self._measured(dialect.do_executemany)

    def _measured(self, execute: Callable[..., None]) -> Callable[..., None]:
        def execute_and_measure(cursor: Any, statement: str, *arguments: Any) -> None:
            began = time.perf_counter()
            try:
                execute(cursor, statement, *arguments)
            finally:
                seconds = time.perf_counter() - began
                if seconds >= SLOW_SECONDS:
                    self._record(statement, seconds, cursor.rowcount)

        return execute_and_measure

    def _record(self, statement: str, seconds: float, rows: int) -> None:
        SLOW.inc()
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._lines = second, 0
            self._lines += 1
            if self._lines > LINES_PER_SECOND:
                self._omitted += 1
                return
            omitted, self._omitted = self._omitted, 0
        text = " ".join(statement.split())[:MAX_TEXT]
        notes = f"{rows} rows" if rows >= 0 else "no number of rows"
        if omitted:
            notes += f", {omitted} slow queries before it are not logged"
        extra = {"ms": round(seconds * 1000, 2), **self._about_request()}
        log.info("slow query (%s): %s", notes, text, extra=extra)
