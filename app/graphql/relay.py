"""Lists of GraphQL in the form of Relay, over the pages of app/api/pagination.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import strawberry
from marshmallow import Schema, ValidationError
from sqlalchemy import Row
from strawberry import UNSET

from app.api.cursors import seal
from app.api.pagination import LIMIT_DEFAULT, Order, PageQuery, PageRequest
from app.errors import Unprocessable

NAMES = {"limit": "first", "cursor": "after"}
"""What the names of paging are called here."""

AnyRow = Row[*tuple[Any, ...]]
T = TypeVar("T")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True)
class Listed:
    """A page as it was read."""

    rows: Sequence[AnyRow]
    order: Order
    request: PageRequest
    more: bool
    count: Callable[[], int]
    """Counts the things on all pages: another statement, so only if that is asked for."""

    def cursor(self, row: AnyRow) -> str:
        """Write the place of ``row``."""
        return seal(row, self.order.keys, self.request.list_name)


@strawberry.type(description="One thing of a list, and its place.")
class Edge(Generic[T]):
    """One thing of a list, and its place."""

    node: T
    row: strawberry.Private[AnyRow]
    listed: strawberry.Private[Listed]

    @strawberry.field(description="Give it as `after`: the page then begins behind this place.")
    def cursor(self) -> str:
        """Write the place."""
        return self.listed.cursor(self.row)


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """A page of a list."""

    nodes: list[T]
    listed: strawberry.Private[Listed]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        """Put each thing beside its place."""
        pairs = zip(self.nodes, self.listed.rows, strict=True)
        return [Edge(node=node, row=row, listed=self.listed) for node, row in pairs]

    @strawberry.field
    def page_info(self) -> PageInfo:
        """Say where the page stands."""
        rows = self.listed.rows
        return PageInfo(
            has_next_page=self.listed.more,
            has_previous_page=self.listed.request.cursor is not None,
            start_cursor=self.listed.cursor(rows[0]) if rows else None,
            end_cursor=self.listed.cursor(rows[-1]) if rows else None,
        )

    @strawberry.field(description="How many there are on all pages.")
    def total_count(self) -> int:
        """Count all."""
        return self.listed.count()


def loaded(schema: Schema, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Load arguments by the schema of a REST request; null is as if it were not given."""
    given = {name: value for name, value in arguments.items() if value not in (None, UNSET)}
    try:
        found: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        messages: Mapping[Any, Any] = error.messages_dict
        renamed = {NAMES.get(name, name): below for name, below in messages.items()}
        raise Unprocessable(renamed, "arguments") from None
    return found


def page_of(
    schema: PageQuery, name: str, first: int | None, after: str | None, **filters: Any
) -> tuple[PageRequest, dict[str, Any]]:
    """Return the page asked for, whose cursors are bound to this list, and its filters."""
    limit = LIMIT_DEFAULT if first is None else first
    wanted = loaded(schema, {"limit": limit, "cursor": after, **filters})
    page: PageRequest = wanted.pop("page")
    list_name = f"graphql {name}?{urlencode(sorted(wanted.items()))}"
    return replace(page, list_name=list_name), wanted
