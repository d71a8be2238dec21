"""The list of books: filters, orders and the search for parts of titles and authors.

Each page reads a bounded number of rows, or only those that an index finds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, select, text

from app.api.cursors import Key
from app.api.pagination import Page, PageRequest, SortOrder, Statement, count, paginate
from app.api.scanning import RowFilter, paginate_scanning
from app.db.engine import dialect_name
from app.db.statements import LIKE_ESCAPE, escape_like
from app.errors import Unprocessable
from app.text import fold
from bookreview.models import Book
from bookreview.queries import BOOK_COLUMNS

TRIGRAM = re.compile(r"[^\W_]{3}")
"""The shortest text that a trigram index can find: three consecutive letters or digits."""


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
FILTERS: dict[str, RowFilter] = {
    "isbn": lambda columns: columns.isbn == bindparam("isbn"),
    "min_rating": lambda columns: columns.average_rating >= bindparam("min_rating"),
    "year_from": lambda columns: columns.published_year >= bindparam("year_from"),
    "year_to": lambda columns: columns.published_year <= bindparam("year_to"),
    "q": lambda columns: columns.folded.like(bindparam("q"), escape=LIKE_ESCAPE),
    "author": lambda columns: columns.folded.like(bindparam("author"), escape=LIKE_ESCAPE),
    # The full-text index of SQLite finds the words of the phrases; the two above compare each
    # character, and where it is.
    "phrases": lambda columns: columns.id.in_(
        text("SELECT rowid FROM book_part WHERE book_part MATCH :phrases")
    ),
}
"""Conditions on the columns of a book, by the name of their bind parameter."""


@dataclass(frozen=True)
class _Search:
    """A list of books: the values of its filters, and which of them an index serves."""

    values: Mapping[str, Any]
    indexed: frozenset[str]


def books(page: PageRequest, sort: str, **filters: Any) -> Page:
    """Return a page of the books that match all of the ``filters``."""
    search = _search(sort, filters)
    names = frozenset(search.values)
    # A range of the sort key contains no book without it.
    order = _order(sort, nullable=not any(_is_key(sort, name) for name in names))
    if names == search.indexed:
        statement = select_books(names, order.keys)
        return paginate(statement, search.values, order, page)
    if page.include_total:
        raise _no_total("include_total")
    statement = select_books(search.indexed, (*order.keys, Book.folded))
    row_filter = match_all(names - search.indexed)
    return paginate_scanning(statement, row_filter, search.values, order, page)


def count_books(sort: str, **filters: Any) -> int:
    """Count the books that match all of the ``filters``, in any order."""
    search = _search(sort, filters)
    if frozenset(search.values) != search.indexed:
        raise _no_total("totalCount")
    return count(select_books(search.indexed, ()), search.values)


def _search(sort: str, filters: Mapping[str, Any]) -> _Search:
    values = {name: value for name, value in filters.items() if value is not None}
    parts = {name: fold(values[name]) for name in ("q", "author") if name in values}
    if "q" in parts:
        values["q"] = f"%{escape_like(parts['q'])}%"
    if "author" in parts:  # the author is on the second line of ``folded``
        values["author"] = f"%\n%{escape_like(parts['author'])}%"
    phrases = [part for part in parts.values() if TRIGRAM.search(part)]
    if phrases and dialect_name() == "sqlite":
        doubled = (part.replace('"', '""') for part in phrases)
        values["phrases"] = " ".join(f'"{part}"' for part in doubled)
    if phrases or not parts or "isbn" in values:
        return _Search(values, frozenset(values))
    # Only in its own order, an index also seeks to the bounds of a range.
    return _Search(values, frozenset(name for name in values if _is_key(sort, name)))


def _is_key(sort: str, name: str) -> bool:
    return RANGES.get(name) is ORDERS[sort].keys[0]


def _no_total(field: str) -> Unprocessable:
    detail = "Requires three consecutive letters or digits in q or author."
    return Unprocessable({field: [detail]}, "query")


@cache
def _order(sort: str, *, nullable: bool) -> SortOrder:
    order = ORDERS[sort]
    return replace(order, nullable=order.nullable and nullable)


@cache
def select_books(names: frozenset[str], others: tuple[Key, ...]) -> Statement:
    """Return the statement with the filters of these names, which also selects ``others``."""
    columns = dict.fromkeys((*BOOK_COLUMNS, *others))
    filters = (FILTERS[name](Book.__table__.c) for name in sorted(names))
    return select(*columns).where(*filters)


@cache
def match_all(names: frozenset[str]) -> RowFilter:
    """Return one filter for all filters of these names."""
    return lambda columns: and_(*(FILTERS[name](columns) for name in sorted(names)))
