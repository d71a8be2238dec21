"""One execution of an event for all who asked for the same: the same query, the same variables.

Where each of them stands makes no difference to what an event looks like. So ``after`` is taken
out of a subscription before it is compared with others.
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
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
    execute_subscription_event,
    get_argument_values,
    parse,
    print_ast,
    separate_operations,
    visit,
)
from strawberry.types import ExecutionResult

from app.errors import ApiError
from app.events import Event
from app.graphql import Prepared
from app.graphql_errors import Refused, coded

PLACE = "after"
"""The argument that says where a subscriber stands."""
REMEMBERED = 64
"""Results that a group keeps: those who resume at about the same time share them too."""
GROUPS_OF_A_TOPIC = 200
GROUPS_OF_A_CLIENT = 20
"""Of one topic: so that nobody uses up the others' share of different queries."""
Root = Callable[[Event], Any]


class TooManyQueries(ApiError):  # noqa: N818 - named as its kin
    """So many different queries follow one topic that an event would cost too much."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Asked(NamedTuple):
    """What a subscription asks for."""

    key: bytes
    """The same for all whose results are the same, wherever they stand."""
    executor: Executor[Any]
    arguments: Mapping[str, Any]
    """Of its field, ``after`` among them."""


def asked(schema: GraphQLSchema, prepared: Prepared, variables: dict[str, Any]) -> Asked:
    """Read a subscription; raise Refused where the variables do not fit it."""
    document = separate_operations(prepared.document)[prepared.name or ""]
    whole = _executor(schema, document, variables)
    fields = schema.subscription_type.fields  # type: ignore[union-attr]
    field = _first_of(document, fields)
    arguments = get_argument_values(fields[field.name.value], field, whole.variable_values)
    common = _common(print_ast(document))
    kept = {name: variables[name] for name in common.variables & variables.keys()}
    executor = _executor(schema, common.document, kept)
    key = orjson.dumps([common.text, executor.variable_values.coerced], option=orjson.OPT_SORT_KEYS)
    return Asked(key, executor, arguments)


def _executor(
    schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]
) -> Executor[Any]:
    made = Executor.build(schema, document, raw_variable_values=variables)
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


class Group:
    """Everybody whose results are the same."""

    def __init__(self, executor: Executor[Any], root: Root, beginner: str) -> None:
        self.beginner = beginner
        """The client who was the first to ask for this."""
        self._executor = executor
        self._root = root
        self._results: OrderedDict[int, ExecutionResult] = OrderedDict()
        self.members = 0

    def result(self, event: Event) -> ExecutionResult:
        """Return what ``event`` looks like for this group."""
        result = self._results.get(event.position)
        if result is None:
            result = self._results[event.position] = self._execute(event)
            if len(self._results) > REMEMBERED:
                self._results.popitem(last=False)
        return result

    def _execute(self, event: Event) -> ExecutionResult:
        # Nothing is waited for: the root holds all that can be asked.
        done: Any = execute_subscription_event(
            self._executor.build_per_event_executor(self._root(event))
        )
        # Encoded once for all; orjson takes it over as it is.
        return ExecutionResult(orjson.Fragment(orjson.dumps(done.data)), done.errors)  # type: ignore[arg-type]


class Groups:
    """The groups of one process, by what they follow."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._of_topic: dict[str | None, dict[bytes, Group]] = {}

    def know(self, topic: str | None) -> bool:
        """Tell whether somebody follows ``topic`` already."""
        return topic in self._of_topic

    @contextmanager
    def join(self, topic: str | None, asked: Asked, client: str) -> Iterator[Group]:
        """Be a member of the group that asks for the same; raise TooManyQueries."""
        groups = self._of_topic.setdefault(topic, {})
        group, key = groups.get(asked.key) or self._new(groups, asked, client), asked.key
        del asked  # with an executor that would be kept as long as its member
        group.members += 1
        try:
            yield group
        finally:
            group.members -= 1
            if not group.members:
                del groups[key]
            if not groups:
                del self._of_topic[topic]

    def _new(self, groups: dict[bytes, Group], asked: Asked, client: str) -> Group:
        begun = sum(group.beginner == client for group in groups.values())
        if len(groups) >= GROUPS_OF_A_TOPIC or begun >= GROUPS_OF_A_CLIENT:
            raise TooManyQueries("Too many different queries follow this; send a common one.")
        group = groups[asked.key] = Group(asked.executor, self._root, client)
        return group
