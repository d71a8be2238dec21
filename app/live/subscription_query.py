"""What a subscription asks for, apart from where its subscriber stands.

``after`` makes no difference to what an event looks like. So it is taken out of a subscription
before that is compared with others: what is asked for alike is executed once for all.
"""

from collections.abc import Callable, Container, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson
from graphql import (
    REMOVE,
    SKIP,
    ArgumentNode,
    DocumentNode,
    Executor,
    FieldNode,
    GraphQLSchema,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_argument_values,
    parse,
    print_ast,
    separate_operations,
    visit,
)

from app.graphql.errors import Refused, coded
from app.graphql.execution import Prepared

PLACE = "after"
"""The argument that says where a subscriber stands."""


class Asked(NamedTuple):
    """What one subscriber asks for."""

    key: bytes
    """The same for all whose results are the same, wherever they stand."""
    arguments: Mapping[str, Any]
    """Of the field, ``after`` among them."""
    executor: Callable[[], Executor[Any]]
    """Makes what executes an event."""


class Reading:
    """A subscription's document, read once for all who send it."""

    def __init__(self, schema: GraphQLSchema, prepared: Prepared) -> None:
        self._schema = schema
        self._document = separate_operations(prepared.document)[prepared.name or ""]
        fields = schema.subscription_type.fields  # type: ignore[union-attr]
        self._field = _first_of(self._document, fields)
        self._definition = fields[self._field.name.value]
        self._common = _common(print_ast(self._document))

    def asked(self, variables: Mapping[str, Any]) -> Asked:
        """Read what these variables ask for; raise Refused where they do not fit."""
        common = self._common
        whole = _executor(self._schema, self._document, variables).variable_values
        used = {name: value for name, value in whole.coerced.items() if name in common.variables}
        key = orjson.dumps([common.text, used], option=orjson.OPT_SORT_KEYS)
        kept = {name: variables[name] for name in common.variables & variables.keys()}
        make = partial(_executor, self._schema, common.document, kept)
        return Asked(key, get_argument_values(self._definition, self._field, whole), make)


def _executor(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]
) -> Executor[Any]:
    made = Executor.build(schema, document, raw_variable_values=dict(variables))
    if isinstance(made, list):
        raise Refused(*(coded(error, "") for error in made))
    return made


def _first_of(document: DocumentNode, names: Container[str]) -> FieldNode:
    """Find the field of the subscription, which may stand in a fragment."""
    found: list[FieldNode] = []

    class Find(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if node.name.value in names:
                found.append(node)

    visit(document, Find())
    return found[0]


class _Common(NamedTuple):
    """A document without the place of its subscriber."""

    text: str
    document: DocumentNode
    variables: frozenset[str]
    """Those that are still used."""


@lru_cache(maxsize=1_024)
def _common(text: str) -> _Common:
    placeless = visit(parse(text, no_location=True), _WithoutPlace())
    used = _Used()
    visit(placeless, used)
    document = visit(placeless, _WithoutUnused(used.names))
    return _Common(print_ast(document), document, frozenset(used.names))


class _WithoutPlace(Visitor):
    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        return REMOVE if node.name.value == PLACE else None


class _Used(Visitor):
    """Collects the variables that are used, not only declared."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable_definition(self, *_: Any) -> Any:
        return SKIP

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)


class _WithoutUnused(Visitor):
    def __init__(self, used: Container[str]) -> None:
        super().__init__()
        self._used = used

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> Any:
        return None if node.variable.name.value in self._used else REMOVE
