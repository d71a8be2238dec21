"""Lists, page by page, at the same cost at any depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from marshmallow import fields, post_load
from sqlalchemy import Integer, Row, bindparam, func, select, tuple_
from sqlalchemy.sql import Select

from app.cursors import PAGING, Key, seal, unseal
from app.database import rows
from app.fields import Flag, QuerySchema, Whole

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
LIMIT = "page_limit"


@dataclass(frozen=True)
class PageRequest:
    """Which page is asked for."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    include_total: bool = False


class PageQuery(QuerySchema):
    """The names that every list takes."""

    limit = Whole(
        1, LIMIT_MAX, load_default=LIMIT_DEFAULT, metadata={"description": "Items on a page."}
    )
    cursor = fields.String(
        metadata={"description": "`next_cursor` of the page before, with the same filters."},
    )
    include_total = Flag(
        load_default=False, metadata={"description": "Count all that match, as `total`."}
    )

    @post_load
    def as_page(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Put the names of paging together, so that a query's filters stand alone."""
        paging = {name: loaded.pop(name) for name in PAGING & loaded.keys()}
        return {**loaded, "page": PageRequest(**paging)}


@dataclass(frozen=True)
class Page:
    """One page of a list: rows with the fields of its schema."""

    items: Sequence[Row[*tuple[Any, ...]]]
    next_cursor: str | None
    total: int | None = None


Statement = Select[*tuple[Any, ...]]


def paginate(
    statement: Statement,
    values: Mapping[str, Any],
    *,
    keys: Sequence[Key],
    page: PageRequest,
    descending: bool = False,
) -> Page:
    """Return a page of ``statement`` ordered by ``keys``, the last of which is unique.

    The statement selects the keys, and takes ``values`` for its bindparams. It is one object
    for all calls: SQLAlchemy then finds it compiled, and compares no columns.
    """
    shaped = _page_of(statement, tuple(keys), descending, page.cursor is not None)
    after = unseal(page.cursor, keys) if page.cursor is not None else ()
    placed = {_name(key): value for key, value in zip(keys, after, strict=False)}
    found = rows(shaped, {**values, **placed, LIMIT: page.limit + 1})
    items = found[: page.limit]
    following = seal(items[-1], keys) if len(found) > page.limit else None
    total = rows(_count_of(statement), values)[0][0] if page.include_total else None
    return Page(items, following, total)


@lru_cache(maxsize=256)
def _page_of(
    statement: Statement, keys: tuple[Key, ...], descending: bool, continued: bool
) -> Statement:
    ordered = statement.order_by(*(key.desc() if descending else key.asc() for key in keys))
    if continued:
        # All keys run in one direction, so that one comparison of row values says what comes
        # after the cursor: an index on the keys is entered there, at any depth.
        here = tuple_(*keys)
        there = tuple_(*(bindparam(_name(key), type_=key.type) for key in keys))
        ordered = ordered.where(here < there if descending else here > there)
    return ordered.limit(bindparam(LIMIT, type_=Integer))


@lru_cache(maxsize=256)
def _count_of(statement: Statement) -> Statement:
    return select(func.count()).select_from(statement.subquery())


def _name(key: Key) -> str:
    return f"after_{key.key}"
