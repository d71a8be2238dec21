"""Normalize subscription queries, so that equal ones can share an execution.

The argument ``after`` does not change the result for an event. It is removed from a subscription
before the query is compared with others.
"""

import json
from collections.abc import Callable, Container, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from graphql import (
    REMOVE,
    SKIP,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    parse,
    print_ast,
    separate_operations,
    visit,
)

from app.graphql.core_adapter import EventExecutor
from app.graphql.execution import Prepared

CURSOR_ARGUMENT = "after"


class BoundSubscription(NamedTuple):
    """A subscription with the variables of one subscriber."""

    key: bytes
    """Equal for all subscriptions whose results are equal, whatever their cursors."""
    arguments: Mapping[str, Any]
    """Of the subscription field, including ``after``."""
    create_executor: Callable[[], EventExecutor]


class ParsedSubscription:
    """The document of a subscription, parsed once for all clients that send it."""

    def __init__(self, schema: GraphQLSchema, prepared: Prepared) -> None:
        self._schema = schema
        self._document = separate_operations(prepared.document)[prepared.name or ""]
        fields = schema.subscription_type.fields  # type: ignore[union-attr]
        self._field = _find_field(self._document, fields)
        self.field_name = self._field.name.value
        self._definition = fields[self.field_name]
        self._normalized = _normalize(print_ast(self._document))

    def bind(self, variables: Mapping[str, Any]) -> BoundSubscription:
        """Return the subscription with these variables; raise RequestError for invalid ones."""
        normalized = self._normalized
        executor = EventExecutor(self._schema, self._document, variables)
        coerced = executor.variables
        used = {name: coerced[name] for name in normalized.variables & coerced.keys()}
        # Not orjson, which cannot write lone surrogates, integers of any size or deep lists.
        key = json.dumps([normalized.text, used], sort_keys=True).encode()
        sent = {name: variables[name] for name in normalized.variables & variables.keys()}
        create = partial(EventExecutor, self._schema, normalized.document, sent)
        return BoundSubscription(key, executor.arguments(self._definition, self._field), create)


def _find_field(document: DocumentNode, names: Container[str]) -> FieldNode:
    """Return the subscription field, which may be in a fragment."""
    found: list[FieldNode] = []

    class FindField(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if node.name.value in names:
                found.append(node)

    visit(document, FindField())
    return found[0]


class _Normalized(NamedTuple):
    """A document without cursors."""

    text: str
    document: DocumentNode
    variables: frozenset[str]
    """The variables that are still used."""


@lru_cache(maxsize=1_024)
def _normalize(text: str) -> _Normalized:
    without_cursor = visit(parse(text, no_location=True), _RemoveCursor())
    used = _UsedVariables()
    visit(without_cursor, used)
    document = visit(without_cursor, _RemoveUnused(used.names))
    return _Normalized(print_ast(document), document, frozenset(used.names))


class _RemoveCursor(Visitor):
    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        return REMOVE if node.name.value == CURSOR_ARGUMENT else None


class _UsedVariables(Visitor):
    """Collects the variables that are used; a declaration is not a use."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable_definition(self, *_: Any) -> Any:
        return SKIP

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)


class _RemoveUnused(Visitor):
    def __init__(self, used: Container[str]) -> None:
        super().__init__()
        self._used = used

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> Any:
        return None if node.variable.name.value in self._used else REMOVE
