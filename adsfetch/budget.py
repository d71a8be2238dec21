"""The budget of operations: how many calls all runs together may make in 24 hours."""

import fcntl
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adsfetch.errors import QuotaError, RateLimitError, StoreError
from adsfetch.storage.atomic import disk_errors, read_file

WINDOW_SECONDS = 86_400
BUCKET_SECONDS = 300
"""Operations are counted by intervals of this length, which keeps the file small."""
MAX_WAIT_SECONDS = 900
"""A run waits so long for the next operation: yesterday's run may have begun a little later."""


class BudgetSpentError(QuotaError):
    """All operations that the user allows for 24 hours are spent."""


class Budget:
    """A limit of operations in any 24 hours, in a file that all runs share.

    An operation is recorded before its call: a killed run has never made more calls than the
    file says. ``limit`` None means that of the file; without a file there is no limit.
    """

    def __init__(
        self, path: Path, limit: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._path, self._clock = path, clock
        self._lock_path = path.with_suffix(".lock")
        self._given = limit
        self._in_process = threading.Lock()

    def take(self) -> None:
        """Record an operation; if none is left, raise RateLimitError or BudgetSpentError."""
        if not self._is_limited():
            return
        with self._locked():
            limit, spent = self._read()
            if limit is not None and spent.total() >= limit:
                raise self._spent(limit, min(spent, default=0))
            spent[self._bucket()] += 1
            self._write(limit, spent)

    def _spent(self, limit: int, oldest: int) -> RateLimitError | BudgetSpentError:
        text = f"the budget of {limit} operations in 24 hours is spent"
        seconds = oldest + BUCKET_SECONDS + WINDOW_SECONDS - self._clock()
        if seconds <= MAX_WAIT_SECONDS:
            return RateLimitError(seconds, f"{text} for another {seconds:.0f} s")
        return BudgetSpentError(
            f"{text}; what was fetched is stored, run the same command again tomorrow"
        )

    def limit_and_left(self) -> tuple[int, int] | None:
        """Return the limit, and how many operations are left now; None without a limit."""
        if not self._is_limited():
            return None
        limit, spent = self._read()
        return None if limit is None else (limit, max(0, limit - spent.total()))

    def _is_limited(self) -> bool:
        return self._given is not None or self._path.exists()

    def _bucket(self) -> int:
        return int(self._clock()) // BUCKET_SECONDS * BUCKET_SECONDS

    def _read(self) -> tuple[int | None, Counter[int]]:
        """Return the limit, and the operations of the last 24 hours by interval."""
        text = read_file(self._path)
        try:
            record: dict[str, Any] = json.loads(text) if self._path.exists() else {}
            stored = {int(start): int(count) for start, count in record.get("spent", {}).items()}
            limit = self._given if self._given is not None else record.get("limit")
            limit = None if limit is None else int(limit)
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self._path} is damaged ({error}), so what was spent in 24 hours is not known; "
                "delete it to begin anew"
            ) from error
        now, spent = self._bucket(), Counter[int]()
        for start, count in stored.items():
            # An interval ends after its last operation. What a clock that was ahead has recorded
            # was spent now at the latest.
            if start + BUCKET_SECONDS + WINDOW_SECONDS > now:
                spent[min(start, now)] += count
        return limit, spent

    def _write(self, limit: int | None, spent: Counter[int]) -> None:
        record = {"limit": limit, "spent": {str(start): n for start, n in sorted(spent.items())}}
        temp = self._path.with_suffix(f".{os.getpid()}.part")
        with disk_errors(self._path):
            # It need not reach the disk at once: a power cut may lose a few seconds of it.
            temp.write_text(json.dumps(record))
            temp.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._in_process, disk_errors(self._lock_path):
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with disk_errors(self._lock_path):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
