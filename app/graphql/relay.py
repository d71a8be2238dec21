"""Relay connections over the pages of app/api/pagination.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import strawberry
from marshmallow import Schema, ValidationError
from marshmallow.exceptions import SCHEMA
from strawberry import UNSET
from strawberry.utils.str_converters import to_camel_case

from app.api.cursors import encode_cursor
from app.api.pagination import LIMIT_DEFAULT, Page, PageQuery, PageRequest, SortOrder
from app.db.reads import Row
from app.errors import Unprocessable

ARGUMENT_NAMES = {"limit": "first", "cursor": "after", SCHEMA: SCHEMA}
"""The names of the paging parameters in GraphQL, and that of all arguments together."""

T = TypeVar("T")


@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    """The position of a page in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True)
class ResultPage:
    """One page of a list as it was read."""

    found: Page
    order: SortOrder
    request: PageRequest
    count: Callable[[], int]
    """Counts the items on all pages, with a statement of its own, only if it is requested."""

    def cursor(self, row: Row) -> str:
        return encode_cursor(row, self.order.keys, self.request.list_name)


@strawberry.type(description="An item of a list, with its cursor.")
class Edge(Generic[T]):
    """An item of a list, with its cursor."""

    node: T
    row: strawberry.Private[Row]
    page: strawberry.Private[ResultPage]

    @strawberry.field(description="Pass it as `after` to get the items that follow this one.")
    def cursor(self) -> str:
        return self.page.cursor(self.row)


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """A page of a list."""

    nodes: list[T]
    page: strawberry.Private[ResultPage]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        pairs = zip(self.nodes, self.page.found.items, strict=True)
        return [Edge(node=node, row=row, page=self.page) for node, row in pairs]

    @strawberry.field
    def page_info(self) -> PageInfo:
        rows = self.page.found.items
        return PageInfo(
            has_next_page=self.page.found.next_cursor is not None,
            has_previous_page=self.page.request.cursor is not None,
            start_cursor=self.page.cursor(rows[0]) if rows else None,
            # A page that has found nothing in what it has searched continues after that.
            end_cursor=self.page.cursor(rows[-1]) if rows else self.page.found.next_cursor,
        )

    @strawberry.field(description="The number of items on all pages.")
    def total_count(self) -> int:
        return self.page.count()


def load_arguments(
    schema: Schema, arguments: Mapping[str, Any], *, null_is_omitted: bool = True
) -> dict[str, Any]:
    """Validate arguments with the schema of a REST request."""
    omitted = (None, UNSET) if null_is_omitted else (UNSET,)
    present = {name: value for name, value in arguments.items() if value not in omitted}
    try:
        loaded: dict[str, Any] = schema.load(present)
    except ValidationError as error:
        messages: Mapping[Any, Any] = error.messages_dict
        renamed = {
            ARGUMENT_NAMES.get(name) or to_camel_case(name): below
            for name, below in messages.items()
        }
        raise Unprocessable(renamed, "arguments") from None
    return loaded


def page_request(
    schema: PageQuery, name: str, first: int | None, after: str | None, /, **filters: Any
) -> tuple[PageRequest, dict[str, Any]]:
    """Return the page request, whose cursors are valid for this list only, and the filters."""
    limit = LIMIT_DEFAULT if first is None else first
    arguments = load_arguments(schema, {"limit": limit, "cursor": after, **filters})
    page: PageRequest = arguments.pop("page")
    list_name = f"graphql {name}?{urlencode(sorted(arguments.items()))}"
    return replace(page, list_name=list_name), arguments
