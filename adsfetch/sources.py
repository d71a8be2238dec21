"""What a run needs from a source of rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from adsfetch.errors import UsageError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Many rows at once, for fast sources: one column of texts for each of ``names``.

    ``types`` are those of the columns, as far as the source knows them: int64, double, decimal
    (with six places), bool, date, enum, json, string.
    """

    names: tuple[str, ...]
    columns: Sequence[Sequence[str]]
    types: Mapping[str, str] = field(default_factory=dict)


FetchData = Callable[[date], Iterable[Any]]


class Source:
    """What a run needs from a source; a run with nothing to do only reads the attributes.

    ``identity`` is stored with the dataset, so that another source is not mixed in.
    ``call_timeout`` is in seconds and covers one call of ``fetch_data`` with all its rows.
    ``options`` are remembered with the dataset, to make the source again. ``asks_time_zone``:
    ``time_zone`` makes a call.
    ``metrics`` are the columns of ``fetch_metrics``; ``changing_conditions`` are fields by which
    rows are selected, and whose values can change after the day.
    """

    name: str
    identity: str
    call_timeout: float
    options: Mapping[str, str] = MappingProxyType({})
    asks_time_zone = False
    metrics: tuple[str, ...] = ()
    changing_conditions: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """Return the identity, with the version of the API where there is one."""
        return self.identity

    def open(self) -> None:
        """Prepare the source, so that a mistake in its settings is reported once, at the start."""

    def fetch_data(self, day: date) -> Iterable[Row | Batch]:
        raise NotImplementedError

    def fetch_metrics(self, first: date, last: date) -> Iterable[Batch]:
        """Yield the metrics of all rows of a range, both ends included, by one call.

        The first column is the day. The rows are those of ``fetch_data``, in any order. Raise
        UsageError if the source has no such call.
        """
        raise UsageError(
            "only Google Ads can be asked for the sums of many days at once; fetch --refetch "
            "fetches days of any source again, and adsfetch changes shows what that has altered"
        )

    @contextmanager
    def time_limit(self, day: date) -> Iterator[float]:
        """Yield the timeout with which a copy of this source is to fetch a day, in seconds.

        The source may give more time to the next call if this one raises TimeoutError.
        """
        yield self.call_timeout

    def check_stored_row(self, row: Mapping[str, str]) -> None:
        """Raise UsageError if a row of the dataset is not in the form of the rows to come."""

    def time_zone(self) -> str:
        """Return the account's time zone; an empty string means the host's."""
        return ""

    def earliest(self, today: date) -> date | None:
        """Return the oldest day that can still be fetched; None means no limit."""
        return None

    def close(self) -> None:
        """Cancel all calls, if that is possible; otherwise they are abandoned."""
