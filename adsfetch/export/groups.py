"""Sums over groups of rows: by week, by month, or by the values of columns."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from adsfetch.errors import UsageError
from adsfetch.export.rows import read_day
from adsfetch.storage.store import Store
from adsfetch.storage.sums import METRICS, MICROS, Sums, columns_to_sum, is_additive, text_of_number

PERIODS: dict[str, Callable[[date], str]] = {
    "week": lambda day: f"{day - timedelta(day.weekday())}",  # the Monday, as in segments.week
    "month": lambda day: f"{day}"[: len("2024-02")],
}
TOTAL = "total"

Key = tuple[str, ...]


class Groups:
    """The exact sums of the rows of a dataset, for each value of ``by``, and of all.

    ``mixed`` are the columns with numbers and other texts, which have no sum. All groups are in
    memory, and some thousand rows.
    """

    def __init__(self, store: Store, by: Sequence[str]) -> None:
        columns = store.dataset.columns
        self.by = tuple(dict.fromkeys(by))
        for name in self.by:
            if name not in columns and name not in PERIODS:
                known = ", ".join(dict.fromkeys([*PERIODS, *columns]))
                raise UsageError(f"--by {name}: there is no such column; there are {known}")
        summable = columns_to_sum(columns)
        amounts = {name.removesuffix(MICROS) for name in summable if name.endswith(MICROS)}
        self._names = [n for n in columns if n in {*summable, *amounts} and n not in self.by]
        self._ratios = ratios_in(columns)
        self.mixed: set[str] = set()
        self._total, self._sums = Sums(), defaultdict[Key, Sums](Sums)
        for entry in store.held_entries():
            periods = {name: PERIODS[name](entry.day) for name in self.by if name not in columns}
            for chunk in read_day(store, entry):
                self._add(dict(zip(columns, chunk, strict=True)), periods)

    @property
    def names(self) -> list[str]:
        """Return the columns that have a sum: they contain numbers, and nothing else."""
        return [name for name in self._names if name in self._total.numbers]

    @property
    def not_additive(self) -> list[str]:
        """Return the columns of numbers whose sum would mean nothing, such as ratios."""
        return [name for name in self._ratios if name in self._total.numbers]

    @property
    def total(self) -> dict[str, str]:
        """Return the sums of all rows."""
        return self._texts_of(self._total, self.names)

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Yield the key and the sums of each group; whole numbers are in order of their size."""
        names = self.names
        for key in sorted(self._sums, key=lambda key: [*map(order_of, key)]):
            yield dict(zip(self.by, key, strict=True)) | self._texts_of(self._sums[key], names)

    def __len__(self) -> int:
        return len(self._sums)

    def as_csv(self) -> str:
        """Return a header, a line for each group, and a line with the totals."""
        lines = io.StringIO()
        writer = csv.DictWriter(lines, [*self.by, *self.names], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self)
        writer.writerow({self.by[0]: TOTAL, **self.total})
        return lines.getvalue()

    def _add(self, columns: Mapping[str, Sequence[str]], periods: Mapping[str, str]) -> None:
        names, rows = self._names, len(next(iter(columns.values())))
        keys = [[periods[n]] * rows if n in periods else columns[n] for n in self.by]
        places = defaultdict(list)
        for place, key in enumerate(zip(*keys, strict=True)):
            places[key].append(place)
        for key, found in places.items():
            cells = [[columns[name][place] for place in found] for name in names]
            self._sums[key].add(names, cells, len(found))
        watched, before = [*names, *self._ratios], self._total.numbers
        self._total.add(watched, [columns[name] for name in watched], rows)
        after = self._total.numbers
        texts = [name for name in names if name not in after]
        self.mixed |= {n for n in texts if n in before or mostly_numbers(columns[n])}

    @staticmethod
    def _texts_of(sums: Sums, names: Sequence[str]) -> dict[str, str]:
        numbers = sums.numbers
        return {name: text_of_number(numbers.get(name)) for name in names}


def ratios_in(columns: Sequence[str]) -> list[str]:
    """Return the columns whose sum would mean nothing; of Google Ads only metrics."""
    metrics = [name for name in columns if name.startswith(METRICS)] or columns
    return [name for name in metrics if not is_additive(name)]


def order_of(text: str) -> tuple[bool, int, str]:
    """Return what sorts whole numbers by their value, before any other text."""
    is_number = text.isdecimal() and text.isascii()
    return not is_number, int(text) if is_number else 0, text


def mostly_numbers(cells: Sequence[str]) -> bool:
    """Return whether more than half of the cells with a text are whole numbers."""
    numbers = sum(map(str.isdecimal, cells))
    return 2 * numbers > sum(map(bool, cells))
