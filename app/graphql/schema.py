"""The GraphQL schema: it is composed of the types of each API, and these share what is here."""

from collections.abc import Sequence
from typing import Any, NewType

import strawberry
from graphql import GraphQLSchema
from strawberry import ID, Info
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from app.api.fields import parse_id
from app.errors import NotFound
from app.graphql.execution import Execution
from app.graphql.strawberry_adapter import core_schema
from app.json import time_text

DateTime = NewType("DateTime", str)
DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A date and time in UTC, with microseconds, as in RFC 3339.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
)
GraphQLInfo = Info[Execution, Any]


def compose_schema(
    queries: Sequence[type], mutations: Sequence[type], subscriptions: Sequence[type]
) -> GraphQLSchema:
    """Return the schema with all fields of these strawberry types."""
    composed = strawberry.Schema(
        merge_types("Query", tuple(queries)),
        merge_types("Mutation", tuple(mutations)),
        merge_types("Subscription", tuple(subscriptions)),
        config=StrawberryConfig(scalar_map={DateTime: DATE_TIME}),
    )
    return core_schema(composed)


def parse_node_id(text: ID, kind: str) -> int:
    """Return the id of a ``kind`` of thing; raise NotFound for an invalid id, as REST does."""
    parsed = parse_id(text)
    if parsed is None:
        raise NotFound(f"There is no {kind} with this id.")
    return parsed


def to_datetime(value: Any) -> DateTime:
    """Format a date and time as REST does; a string is formatted already."""
    return DateTime(time_text(value))
