"""Compare held days with their source: the number of rows of each day, and its exact sums."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from csv import Error as CsvError
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial

from adsfetch.dates import days_between
from adsfetch.errors import StoreError, one_line
from adsfetch.sources import Batch, Source
from adsfetch.storage.atomic import read_errors
from adsfetch.storage.states import DONE, Record, State
from adsfetch.storage.store import Store
from adsfetch.storage.sums import Sums, is_additive, sums_of_file, text_of_number

ROWS_AT_ONCE = 1_000_000
"""Of so many rows at most the sums are asked for by one call, unless a single day has more."""
NUMBERS = ("int64", "double")
ROWS = "rows"

DaySums = dict[date, Sums]
WithRetries = Callable[[Callable[[], DaySums]], DaySums]


@dataclass(frozen=True)
class Difference:
    """A day that differs: what is held and what the source has, for each sum that differs."""

    day: date
    sums: dict[str, tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.day}  {self.text}"

    @property
    def text(self) -> str:
        """Return both values of each sum that differs."""
        return "; ".join(
            f"{name} {here} here, {there or 'blank'} at the source"
            for name, (here, there) in self.sums.items()
        )


@dataclass
class Comparison:
    """What was compared, by how many calls, and what differs.

    ``differs`` are final days, ``restated`` provisional ones, which are fetched again anyway.
    ``not_held`` are days with rows at the source that the next run fetches. ``columns`` are the
    sums that were compared, ``others`` metrics whose sums mean nothing. ``conditions`` are
    attributes in the query: their changes alter past days, so differing days are not ``marked``.
    """

    columns: tuple[str, ...]
    others: tuple[str, ...]
    conditions: tuple[str, ...]
    days: int = 0
    calls: int = 0
    differs: list[Difference] = field(default_factory=list)
    restated: list[Difference] = field(default_factory=list)
    not_held: list[date] = field(default_factory=list)

    @property
    def marked(self) -> bool:
        return bool(self.differs) and not self.conditions


def compare(
    store: Store,
    source: Source,
    with_retries: WithRetries,
    before_call: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare all held days of a dataset with their source, and record which final ones differ.

    The next run fetches these. Only days that can be fetched again are compared, and that are
    over: a day that the source no longer has, or today, says nothing. ``before_call`` is called
    before each attempt, each of which is an operation of the source.
    """
    columns = tuple(filter(is_additive, source.metrics))
    others = tuple(name for name in source.metrics if name not in columns)
    result = Comparison(columns, others, source.changing_conditions)
    held = comparable_days(store, source)
    for days in chunks(store, held):
        at_source = with_retries(partial(ask, source, days, result, before_call))
        for day in days:
            if day in held:
                compare_day(store, day, at_source.get(day, Sums()), result)
            elif day in at_source and store.state(day) not in DONE:
                result.not_held.append(day)
    return result


def comparable_days(store: Store, source: Source) -> set[date]:
    """Return the held days that are over and that the source still has."""
    limits = filter(None, (store.earliest, source.earliest(store.today)))
    earliest = max(limits, default=date.min)
    return {
        entry.day
        for entry in store.held_entries()
        if earliest <= entry.day < store.today and entry.record is Record.HELD
    }


def chunks(store: Store, held: set[date]) -> Iterator[list[date]]:
    """Yield the days from the first to the last held one, in ranges of bounded size."""
    chunk: list[date] = []
    rows = 0
    for day in days_between(min(held), max(held)) if held else ():
        more = store.entries[day].rows if day in held else 0
        if chunk and rows + more > ROWS_AT_ONCE:
            yield chunk
            chunk, rows = [], 0
        chunk.append(day)
        rows += more
    if chunk:
        yield chunk


def ask(
    source: Source, days: Sequence[date], result: Comparison, before_call: Callable[[], None]
) -> DaySums:
    """Return the sums of each day that has rows at the source, by one call."""
    batches = source.fetch_metrics(days[0], days[-1])
    before_call()
    result.calls += 1
    found: DaySums = defaultdict(Sums)
    for batch in batches:
        texts = {name for name, kind in batch.types.items() if kind not in NUMBERS}
        result.others += tuple(name for name in result.columns if name in texts)
        result.columns = tuple(name for name in result.columns if name not in texts)
        add_batch(found, batch, result.columns)
    return dict(found)


def add_batch(found: DaySums, batch: Batch, names: Sequence[str]) -> None:
    """Add the rows of a batch to the sums of their days."""
    places = defaultdict(list)
    for place, text in enumerate(batch.columns[0]):
        places[text].append(place)
    columns = [batch.columns[batch.names.index(name)] for name in names]
    for text, rows in places.items():
        cells = [[column[row] for row in rows] for column in columns]
        found[date.fromisoformat(text)].add(names, cells, len(rows))


def compare_day(store: Store, day: date, at_source: Sums, result: Comparison) -> None:
    """Compare one day, and record it if it is final and differs."""
    result.days += 1
    path = store.day_path(day)
    try:
        with read_errors(path):
            here = sums_of_file(path, result.columns)
    except (CsvError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    sums = differing_sums(here, at_source, result.columns)
    if not sums:
        return
    difference = Difference(day, sums)
    if store.state(day) is State.PROVISIONAL:
        result.restated.append(difference)
        return
    result.differs.append(difference)
    if result.marked:
        store.record_difference(day, one_line(f"it differs from its source: {difference.text}"))


def differing_sums(here: Sums, there: Sums, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return what differs, as texts of exact numbers.

    A blank counts as 0. But a column that is blank in all rows here, and not there, was added to
    the query later: it is not compared, and may be why there are more rows there.
    """
    pairs = {name: (here.number(name), there.number(name)) for name in names}
    added = any(one is None and other is not None for one, other in pairs.values())
    if not added or here.rows > there.rows:
        pairs = {ROWS: (Decimal(here.rows), Decimal(there.rows)), **pairs}
    return {
        name: (text_of_number(one), text_of_number(other))
        for name, (one, other) in pairs.items()
        if one is not None and one != (other or 0)
    }
