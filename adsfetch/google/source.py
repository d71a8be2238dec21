"""The source that calls Google Ads; it imports the client library when it connects."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from adsfetch.dates import months_before
from adsfetch.errors import TimeoutError, UsageError  # noqa: A004 - a subclass of the builtin
from adsfetch.google.accounts import CLIENTS, Client, clients_of
from adsfetch.google.accounts import FIELDS as CLIENT_FIELDS
from adsfetch.google.report import Access, Report
from adsfetch.sources import Batch, Source

if TYPE_CHECKING:
    from adsfetch.google.connection import Connection

MONTHS_AVAILABLE = 37
MAX_TIMEOUT_FACTOR = 8  # the timeout doubles after each call that exceeds it


class SharedConnection:
    """The connection of all sources of a run; the first one that needs it opens it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connection: Connection | None = None
        self._connecting = threading.Lock()

    @property
    def version(self) -> str:
        """Return the version of the API; an empty string before the first call."""
        return self._connection.version if self._connection else ""

    def for_account(self, customer_id: str) -> "Connection":
        with self._connecting:
            if self._connection is None:
                self._connection = import_connection().connect(self.access, customer_id)
        return self._connection.for_account(customer_id)

    def clients(self, manager_id: str, timeout: float) -> list[Client]:
        """Fetch the client accounts of a manager, which costs one operation."""
        connection = self.for_account(manager_id)
        return clients_of(connection.batches(CLIENTS, CLIENT_FIELDS, timeout))

    def close(self) -> None:
        """Close the connection, which cancels all calls."""
        if self._connection:
            self._connection.close()


class GoogleAdsSource(Source):
    """One report of one account; many threads may use it at once.

    ``time_zone`` is the account's, if it is known.
    """

    def __init__(
        self,
        customer_id: str,
        report: Report,
        timeout: float,
        shared: SharedConnection,
        time_zone: str = "",
    ) -> None:
        self.customer_id, self.report = customer_id, report
        self.name = f"{customer_id}-{report.name}"
        self.identity = f"Google Ads {customer_id}, query {report.fingerprint}"
        self.metrics = report.metrics
        self.changing_conditions = report.changing_conditions
        self.call_timeout = timeout * (MAX_TIMEOUT_FACTOR + 1)  # longer than any timeout of gRPC
        self._timeout = timeout
        self._timeouts: dict[date, float] = {}
        self.shared, self._time_zone = shared, time_zone
        self.asks_time_zone = not time_zone
        self.options = {
            "customer_id": customer_id,
            "query_name": report.name,
            "query": report.text,
            **shared.access.options,
        }

    @property
    def detail(self) -> str:
        version = self.shared.version
        return f"{self.identity}, API {version}" if version else self.identity

    def open(self) -> None:
        """Connect, so that a missing library or a wrong file is reported before any call."""
        self._connect()

    def fetch_data(self, day: date) -> Iterator[Batch]:
        return self._fetch(day, self.report.gaql_for(day), self.report.fields)

    def fetch_metrics(self, first: date, last: date) -> Iterator[Batch]:
        gaql = self.report.gaql_between(first, last)
        return self._fetch(first, gaql, self.report.row_fields)

    def _fetch(self, day: date, gaql: str, fields: tuple[str, ...]) -> Iterator[Batch]:
        with self.time_limit(day) as timeout:
            yield from self._connect().batches(gaql, fields, timeout)

    @contextmanager
    def time_limit(self, day: date) -> Iterator[float]:
        """Yield the timeout of a call; it is longer if the last one for this day exceeded it."""
        timeout = self._timeouts.get(day, self._timeout)
        try:
            yield timeout
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
        """Fetch the account's time zone, unless it is known, which costs one operation."""
        if self._time_zone:
            return self._time_zone
        gaql = "SELECT customer.time_zone FROM customer LIMIT 1"
        for batch in self._connect().batches(gaql, ("customer.time_zone",), self._timeout):
            return str(batch.columns[0][0])
        raise UsageError(f"Google Ads has no account {self.customer_id}")

    def earliest(self, today: date) -> date:
        return months_before(today, MONTHS_AVAILABLE)

    def close(self) -> None:
        self.shared.close()

    def _connect(self) -> "Connection":
        return self.shared.for_account(self.customer_id)


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
