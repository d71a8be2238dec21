"""The list of books: filters, orders and the search for parts of titles and authors.

Each page reads a bounded number of rows, or only those that an index finds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import ColumnCollection, ColumnElement, and_, bindparam, func, select, text

from app.api.cursors import Key
from app.api.pagination import Page, PageRequest, SortOrder, Statement, count, paginate
from app.api.scanning import RowFilter, paginate_scanning
from app.db.engine import dialect_name
from app.db.statements import LIKE_ESCAPE, TRIGRAM, escape_like, match_phrase
from app.errors import Unprocessable
from app.text import fold
from bookreview.models import Book
from bookreview.queries import BOOK_WITH_VERSION


def _both_ways(name: str, key: Key, *, nullable: bool = False) -> dict[str, SortOrder]:
    order = SortOrder((key, Book.id), nullable=nullable)
    return {name: order, f"-{name}": replace(order, descending=True)}


ORDERS = {
    "id": SortOrder((Book.id,)),
    **_both_ways("title", Book.title_key),
    **_both_ways("author", Book.author_key),
    **_both_ways("published_year", Book.published_year, nullable=True),
    **_both_ways("average_rating", Book.average_rating, nullable=True),
    **_both_ways("review_count", Book.review_count),
}
RANGES = {
    "min_rating": Book.average_rating,
    "year_from": Book.published_year,
    "year_to": Book.published_year,
}
"""The columns of the filters that are bounds, inclusive."""
LOWER, UPPER = frozenset({"min_rating", "year_from"}), frozenset({"year_to"})
FILTERS: dict[str, RowFilter] = {
    "isbn": lambda columns: columns.isbn == bindparam("isbn"),
    "min_rating": lambda columns: columns.average_rating >= bindparam("min_rating"),
    "year_from": lambda columns: columns.published_year >= bindparam("year_from"),
    "year_to": lambda columns: columns.published_year <= bindparam("year_to"),
    "like_q": lambda columns: columns.folded.like(bindparam("like_q"), escape=LIKE_ESCAPE),
    "like_author": lambda columns: columns.folded.like(
        bindparam("like_author"), escape=LIKE_ESCAPE
    ),
    # SQLite prepares a statement again for each new pattern of a LIKE, but not for these.
    "in_q": lambda columns: func.instr(columns.folded, bindparam("in_q")) > 0,
    "in_author": lambda columns: func.instr(_author(columns), bindparam("in_author")) > 0,
    "phrases": lambda columns: columns.id.in_(
        text("SELECT rowid FROM book_part WHERE book_part MATCH :phrases")
    ),
}
"""Conditions on the columns of a book, by the name of their bind parameter."""


def _author(columns: ColumnCollection[str, Any]) -> ColumnElement[str]:
    return func.substr(columns.folded, func.instr(columns.folded, "\n"))


@dataclass(frozen=True)
class _Search:
    """A list of books: its filters, with their values, and its order."""

    values: Mapping[str, Any]
    indexed: frozenset[str]
    """The filters that an index serves, but for the bound at which the order starts."""
    scanned: frozenset[str]
    order: SortOrder

    def check_total(self, field: str) -> None:
        """Raise Unprocessable if counting would read every book."""
        if self.scanned:
            detail = "Requires three consecutive letters or digits in q or author."
            raise Unprocessable({field: [detail]}, "query")


def books(page: PageRequest, sort: str, **filters: Any) -> Page:
    """Return a page of the books that match all of the ``filters``."""
    search = _search(sort, filters)
    if page.include_total:
        search.check_total("include_total")
    if not search.scanned:
        statement = select_books(search.indexed, search.order.keys)
        return paginate(statement, search.values, search.order, page)
    statement = select_books(search.indexed, (*search.order.keys, Book.folded))
    row_filter = match_all(search.scanned)
    return paginate_scanning(statement, row_filter, search.values, search.order, page)


def count_books(sort: str, **filters: Any) -> int:
    """Count the books that match all of the ``filters``, in any order."""
    search = _search(sort, filters)
    search.check_total("totalCount")
    return count(select_books(search.indexed, ()), search.values, search.order)


def _search(sort: str, filters: Mapping[str, Any]) -> _Search:
    values = {name: value for name, value in filters.items() if value is not None}
    texts: dict[str, str] = {k: values.pop(k) for k in ("q", "author") if k in values}
    parts = {name: fold(value) for name, value in texts.items()}
    phrases = [part for part in parts.values() if TRIGRAM.search(part)]
    on_sqlite = dialect_name() == "sqlite"
    values |= _match(parts, phrases, on_sqlite=on_sqlite)
    names = frozenset(values)
    bounds = frozenset(name for name in names if RANGES.get(name) is ORDERS[sort].keys[0])
    start = bounds & (UPPER if sort.startswith("-") else LOWER)
    order = _order(sort, bounds, start, indexed=not (phrases and on_sqlite))
    # The index of the order serves its own bounds.
    indexed = names if phrases or not parts or "isbn" in names else bounds
    return _Search(values, indexed - start, names - indexed, order)


def _match(
    parts: Mapping[str, str], phrases: Sequence[str], *, on_sqlite: bool
) -> Mapping[str, str]:
    """Return the values of the filters for ``parts`` of titles and authors."""
    if not on_sqlite:
        before = {"q": "%", "author": "%\n%"}  # the author is on the second line
        return {f"like_{name}": f"{before[name]}{escape_like(parts[name])}%" for name in parts}
    found = {"phrases": " ".join(map(match_phrase, phrases))} if phrases else {}
    return {**found, **{f"in_{name}": part for name, part in parts.items()}}


@cache
def _order(sort: str, bounds: frozenset[str], start: frozenset[str], *, indexed: bool) -> SortOrder:
    order = ORDERS[sort]
    # Within bounds of the key, there is no book without it.
    nullable = order.nullable and not bounds
    conditions = tuple(FILTERS[name](Book.__table__.c) for name in sorted(start))
    return replace(order, nullable=nullable, indexed=indexed, start=conditions)


@cache
def select_books(names: frozenset[str], others: tuple[Key, ...]) -> Statement:
    """Return the statement with the filters of these names, which also selects ``others``."""
    columns = dict.fromkeys((*BOOK_WITH_VERSION, *others))
    filters = (FILTERS[name](Book.__table__.c) for name in sorted(names))
    return select(*columns).where(*filters)


@cache
def match_all(names: frozenset[str]) -> RowFilter:
    """Return one filter for all filters of these names."""
    return lambda columns: and_(*(FILTERS[name](columns) for name in sorted(names)))
