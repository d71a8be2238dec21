"""Exact sums of the numeric columns of rows, whether they are in a file or still arrive."""

import re
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext
from itertools import islice
from pathlib import Path

from adsfetch.storage.csv import DATE_COLUMNS, read_rows

ROWS_AT_ONCE = 1000
EXACT = Context(prec=100)
"""So many digits that nothing is rounded, so the order of the rows does not matter."""
METRICS, MICROS = "metrics.", "_micros"
WORDS = re.compile(r"[a-z]+")
RATIOS = """
average avg benchmark cpc cpe cpm cpv ctr frequency margin measurability per percent percentage
rate ratio relative roas score share viewability
"""
ESTIMATES = "bound estimate historical incremental lift lifted normalized p svr uplift"
DISTINCT = "cookies unique"
STOCKS = "linked pinned"
NOT_ADDITIVE = frozenset(f"{RATIOS} {ESTIMATES} {DISTINCT} {STOCKS}".split())
"""Words in the names of metrics whose sum over rows means nothing."""
LABELS = frozenset(("id", "zip", "year", "quarter", "month", "week", "hour"))


def is_additive(name: str) -> bool:
    """Return whether the sum of a column means something, as far as its name tells.

    Clicks and costs add up. Ratios, estimates and numbers of distinct users do not: they depend
    on how the rows are segmented. Numbers of what exists, such as pinned assets, recur each day.
    """
    return not NOT_ADDITIVE & {*words_of(name)}


def columns_to_sum(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a dataset whose sums mean something, if their texts are numbers.

    Of Google Ads these are metrics. An amount that repeats one in micros is left out.
    """
    chosen = [name for name in columns if name.startswith(METRICS)] or [
        name for name in columns if name not in DATE_COLUMNS and not LABELS & {*words_of(name)[-1:]}
    ]
    return tuple(n for n in chosen if is_additive(n) and f"{n}{MICROS}" not in columns)


def words_of(name: str) -> list[str]:
    """Return the words in the last part of a name, in lower case."""
    return WORDS.findall(name.lower().rpartition(".")[2])


class Sums:
    """The number of rows, and the exact sum of each column.

    A blank cell is no number. A column with a text that is no number has no sum.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._numbers: dict[str, Decimal] = {}
        self._texts: set[str] = set()

    @property
    def numbers(self) -> dict[str, Decimal]:
        """Return the sum of each column that has a number, and no other text."""
        return {n: number for n, number in self._numbers.items() if n not in self._texts}

    def number(self, name: str) -> Decimal | None:
        """Return the sum of a column: 0 if there is no row, None if no row has a number."""
        return self.numbers.get(name) if self.rows else Decimal()

    def add(self, names: Sequence[str], columns: Iterable[Sequence[str]], rows: int) -> None:
        """Add some rows, given as columns."""
        self.rows += rows
        with localcontext(EXACT):
            for name, cells in zip(names, columns, strict=True):
                self._add_cells(name, [cell for cell in cells if cell])

    def _add_cells(self, name: str, cells: Sequence[str]) -> None:
        try:
            total = sum(map(Decimal, cells), self._numbers.get(name, Decimal()))
        except ArithmeticError:  # what Decimal raises for a text
            self._texts.add(name)
            return
        if not total.is_finite():
            self._texts.add(name)
        elif cells:
            self._numbers[name] = total


def sums_of_file(path: Path, names: Iterable[str] | None = None) -> Sums:
    """Return the sums of a file of rows, of these columns or of all whose sums mean something.

    Columns that the file does not have are left out. Raise OSError for a file that cannot be
    read, csv.Error or ValueError for what is no CSV.
    """
    sums, lines = Sums(), read_rows(path)
    header = next(lines, [])
    chosen = columns_to_sum(header) if names is None else [n for n in names if n in header]
    places = [header.index(name) for name in chosen]
    while chunk := list(islice(lines, ROWS_AT_ONCE)):
        columns = list(zip(*chunk, strict=True))
        sums.add(chosen, [columns[place] for place in places], len(chunk))
    return sums


def text_of_number(number: Decimal | None) -> str:
    """Return a number in decimal notation without trailing zeros; blank for None."""
    return "" if number is None else f"{number.normalize(EXACT):f}"
