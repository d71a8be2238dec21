"""The source that talks to Google Ads; loads the client library with its first call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adsfetch.dates import months_before
from adsfetch.errors import (
    TimeoutError,  # noqa: A004 - also the builtin's kind
    TokenExpiredError,
    UsageError,
)
from adsfetch.google.report import Report
from adsfetch.storage.csv import Batch

if TYPE_CHECKING:
    from adsfetch.google.connection import Connection

MONTHS_KEPT = 37
LONGEST = 8  # times the given timeout, after some that were too short


@dataclass(frozen=True)
class Account:
    """Whose figures, and with which rights; ``customer_id`` is ten digits."""

    customer_id: str
    login_customer_id: str | None = None
    config: Path | None = None
    api_version: str | None = None


class GoogleAds:
    """One report of one account, a day at a time, for any number of threads."""

    def __init__(self, account: Account, report: Report, timeout: float) -> None:
        self.account, self.report = account, report
        self.name = f"{account.customer_id}-{report.name}"
        self.identity = f"Google Ads {account.customer_id}, query {report.fingerprint}"
        self.call_limit = timeout * (LONGEST + 1)
        self._timeout = timeout
        self._timeouts: dict[date, float] = {}
        self._connection: Connection | None = None
        self._connecting = threading.Lock()

    @property
    def detail(self) -> str:
        """Say whose figures, and by which version of the API once that is known."""
        version = f", API {self._connection.version}" if self._connection else ""
        return self.identity + version

    def fetch_data(self, day: date) -> Iterator[Batch]:
        """Yield the rows of one day as they arrive."""
        timeout = self._timeouts.get(day, self._timeout)
        try:
            with self._connected() as connection:
                yield from connection.batches(
                    self.report.gaql_for(day), self.report.fields, timeout
                )
        except TimeoutError:
            self._timeouts[day] = min(2 * timeout, LONGEST * self._timeout)
            raise
        self._timeouts.pop(day, None)

    def time_zone(self) -> str:
        """Ask for the account's time zone: one operation."""
        with self._connected() as connection:
            gaql = "SELECT customer.time_zone FROM customer LIMIT 1"
            for batch in connection.batches(gaql, ("customer.time_zone",), self._timeout):
                return str(batch.columns[0][0])
        raise UsageError(f"Google Ads knows no account {self.account.customer_id}")

    def open(self) -> None:
        """Connect, so that a missing library or a wrong file is said before any day is asked."""
        self._connect()

    def earliest(self, today: date) -> date:
        """Return the oldest day whose daily figures are still given."""
        return months_before(today, MONTHS_KEPT)

    def close(self) -> None:
        """Cut all calls."""
        if self._connection:
            self._connection.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend the one connection; after a refused token, see that there is a new one."""
        connection = self._connect()
        token = connection.token.token
        try:
            yield connection
        except TokenExpiredError:
            connection.renew(token)
            raise

    def _connect(self) -> Connection:
        with self._connecting:
            if self._connection is None:
                self._connection = load_connection().open(self.account)
            return self._connection


def load_connection() -> Any:
    """Import the part that needs the client library."""
    try:
        from adsfetch.google import connection  # noqa: PLC0415 - google-ads is optional
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("google", "grpc", "yaml")):
            raise
        raise UsageError(
            "Google Ads needs the extra of this package: pip install 'bookstall[ads]'; "
            "any other source works without (--source module:function)"
        ) from None
    return connection
