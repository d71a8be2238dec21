"""Lists, page by page: keyset cursors that are opaque, signed and bound to their list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import current_app, request
from itsdangerous import BadData, URLSafeSerializer
from marshmallow import fields, post_load
from sqlalchemy import ColumnElement, Row, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import Select

from app.database import UtcDateTime, rows
from app.errors import BadRequest
from app.fields import Flag, QuerySchema, Whole

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
PAGING = frozenset({"limit", "cursor", "include_total"})


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

    items: Sequence[Row[Any]]
    next_cursor: str | None
    total: int | None = None


Key = InstrumentedAttribute[Any]


def paginate(
    statement: Select[*tuple[Any, ...]],
    *,
    keys: Sequence[Key],
    page: PageRequest,
    descending: bool = False,
) -> Page:
    """Return a page of ``statement`` ordered by ``keys``, the last of which is unique.

    All keys run in one direction, so that a row value says in one comparison what comes after
    the cursor, at the same cost at any depth. The statement selects the keys.
    """
    ordered = statement.order_by(*(key.desc() if descending else key.asc() for key in keys))
    if page.cursor is not None:
        ordered = ordered.where(_after(keys, _opened(page.cursor, keys), descending))
    found = rows(ordered.limit(page.limit + 1))
    items = found[: page.limit]
    following = _sealed(items[-1], keys) if len(found) > page.limit else None
    return Page(items, following, _count(statement) if page.include_total else None)


def _after(keys: Sequence[Key], values: Sequence[Any], descending: bool) -> ColumnElement[bool]:
    here, there = tuple_(*keys), tuple_(*values, types=[key.type for key in keys])
    return here < there if descending else here > there


def _count(statement: Select[*tuple[Any, ...]]) -> int:
    counted = select(func.count()).select_from(statement.subquery())
    return rows(counted)[0][0]


def _signer() -> URLSafeSerializer:
    """Sign for this path and these filters alone: elsewhere the signature does not hold."""
    filters = sorted((k, v) for k, v in request.args.items(multi=True) if k not in PAGING)
    salt = f"cursor {request.path}?{urlencode(filters)}"
    return URLSafeSerializer(current_app.secret_key or "", salt=salt)


def _sealed(row: Row[Any], keys: Sequence[Key]) -> str:
    values = [row._mapping[key.key] for key in keys]
    plain = [v.isoformat() if isinstance(v, datetime) else v for v in values]
    return str(_signer().dumps(plain))


def _opened(cursor: str, keys: Sequence[Key]) -> list[Any]:
    try:
        plain = _signer().loads(cursor)
    except BadData:
        raise BadRequest("The cursor does not belong to this list with these filters.") from None
    return [
        datetime.fromisoformat(value) if isinstance(key.type, UtcDateTime) else value
        for key, value in zip(keys, plain, strict=True)
    ]
