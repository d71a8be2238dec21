"""The source that calls Google Ads; it imports the client library when it connects."""

import threading
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from adsfetch.dates import months_before
from adsfetch.errors import TimeoutError, UsageError  # noqa: A004 - a subclass of the builtin
from adsfetch.google.report import Account, Report
from adsfetch.sources import Batch, Source

if TYPE_CHECKING:
    from adsfetch.google.connection import Connection

MONTHS_AVAILABLE = 37
MAX_TIMEOUT_FACTOR = 8  # the timeout doubles after each call that exceeds it


class GoogleAdsSource(Source):
    """One report of one account; many threads may use it at once."""

    def __init__(self, account: Account, report: Report, timeout: float) -> None:
        self.account, self.report = account, report
        self.name = f"{account.customer_id}-{report.name}"
        self.identity = f"Google Ads {account.customer_id}, query {report.fingerprint}"
        self.call_timeout = timeout * (MAX_TIMEOUT_FACTOR + 1)  # longer than any timeout of gRPC
        self._timeout = timeout
        self._timeouts: dict[date, float] = {}
        self._connection: Connection | None = None
        self._connecting = threading.Lock()

    @property
    def detail(self) -> str:
        version = f", API {self._connection.version}" if self._connection else ""
        return self.identity + version

    def open(self) -> None:
        """Connect, so that a missing library or a wrong file is reported before any call."""
        self._connect()

    def fetch_data(self, day: date) -> Iterator[Batch]:
        timeout = self._timeouts.get(day, self._timeout)
        gaql, fields = self.report.gaql_for(day), self.report.fields
        try:
            yield from self._connect().batches(gaql, fields, timeout)
        except TimeoutError:
            self._timeouts[day] = min(2 * timeout, MAX_TIMEOUT_FACTOR * self._timeout)
            raise
        self._timeouts.pop(day, None)

    def check_stored_row(self, row: Mapping[str, str]) -> None:
        for name in self._connect().lists(self.report.fields):
            if not row.get(name, "[").startswith("["):
                raise UsageError(
                    f"the lists in {name} of this dataset are joined with semicolons, as an older "
                    "version did it; now they are JSON: choose another name with --dataset"
                )

    def time_zone(self) -> str:
        """Fetch the account's time zone, which costs one operation."""
        gaql = "SELECT customer.time_zone FROM customer LIMIT 1"
        for batch in self._connect().batches(gaql, ("customer.time_zone",), self._timeout):
            return str(batch.columns[0][0])
        raise UsageError(f"Google Ads has no account {self.account.customer_id}")

    def earliest(self, today: date) -> date:
        return months_before(today, MONTHS_AVAILABLE)

    def close(self) -> None:
        if self._connection:
            self._connection.close()

    def _connect(self) -> "Connection":
        with self._connecting:
            if self._connection is None:
                self._connection = import_connection().connect(self.account)
            return self._connection


def import_connection() -> Any:
    """Import the module that needs the client library."""
    try:
        from adsfetch.google import connection  # noqa: PLC0415 - google-ads is optional
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("google", "grpc", "yaml")):
            raise
        raise UsageError(
            "Google Ads needs the extra 'ads': pip install '.[ads]' in a checkout of this project; "
            "any other source works without it (--source module:function)"
        ) from None
    return connection
