"""GraphQL operations for those who stay on the line: what the library's protocols call a schema.

A query or a mutation runs in a thread, as a request would; a subscription follows the hub.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from flask import Flask
from graphql import GraphQLSchema, OperationType
from sqlalchemy.exc import SQLAlchemyError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.access import access_to
from app.errors import ApiError, BadRequest
from app.events import Event
from app.graphql import Caller, Prepared, execute, prepare
from app.graphql_errors import Refused, from_failure
from app.live.figures import SUBSCRIPTIONS
from app.live.hub import Hub, InThread
from app.live.line import Line
from app.live.shared import PLACE, Groups, asked

Results = AsyncGenerator[ExecutionResult, None]


class Feed(Protocol):
    """What the subscriptions of a schema are about."""

    def topic(self, arguments: Mapping[str, Any]) -> str | None:
        """Name what these arguments ask for, None for all; raise ApiError for what is no name."""

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise ApiError if there is no such thing; this may read."""

    def root(self, log: str, event: Event) -> Any:
        """Make what an event of ``log`` is executed on."""


class Graph(NamedTuple):
    """A schema, and what its subscriptions are about."""

    schema: GraphQLSchema
    feed: Feed


@dataclass
class Context:
    """On whose line an operation is asked for."""

    line: Line
    connection_params: dict[str, object] | None = None


class Sent(NamedTuple):
    """An operation as it came."""

    query: Any
    name: Any
    variables: Any
    allowed: Iterable[Any] | None
    """The kinds of operations that may come this way; None for all."""

    def check(self) -> None:
        """Raise BadRequest where a member is of the wrong kind."""
        if not isinstance(self.query, str) or not isinstance(self.name, str | None):
            raise BadRequest('An operation has the text "query", and perhaps "operationName".')
        if not isinstance(self.variables, dict | None):
            raise BadRequest('"variables" are an object, if there are any.')


class Operations:
    """All operations of a schema; the library asks it as it would ask its own."""

    config = StrawberryConfig()

    def __init__(self, app: Flask, graph: Graph, hub: Hub, in_thread: InThread) -> None:
        self._app = app
        self._schema, self._feed = graph
        self._hub = hub
        self._in_thread = in_thread
        self._access = access_to(app)
        self._groups = Groups(lambda event: graph.feed.root(hub.log, event))

    async def stream(
        self,
        query: str | None,
        *,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[Any] | None = None,
    ) -> Results:
        """Return the results of an operation: of a query one, of a subscription all to come."""
        sent = Sent(query, operation_name, variable_values, allowed_operation_types)
        return self._told(sent, context_value)

    async def execute(
        self,
        query: str | None,
        *,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[Any] | None = None,
    ) -> ExecutionResult:
        """Return the one result of an operation, for a client that takes no stream."""
        caller = self._caller(context_value)
        sent = Sent(query, operation_name, variable_values, allowed_operation_types)
        try:
            prepared = self._prepare(sent, caller)
            return await self._once(prepared, sent.variables or {}, caller)
        except (Refused, ApiError, SQLAlchemyError) as failure:
            return _failed(failure, caller)

    async def _told(self, sent: Sent, context: Context) -> Results:
        caller = self._caller(context)
        try:
            prepared = self._prepare(sent, caller)
            variables = sent.variables or {}
            if prepared.kind is not OperationType.SUBSCRIPTION:
                yield await self._once(prepared, variables, caller)
                return
            async with aclosing(self._follow(prepared, variables, caller)) as results:
                async for result in results:
                    yield result
        except (Refused, ApiError, SQLAlchemyError) as failure:
            yield _failed(failure, caller)

    def _caller(self, context: Context) -> Caller:
        return Caller(context.line.client, context.line.request_id, self._access)

    def _prepare(self, sent: Sent, caller: Caller) -> Prepared:
        sent.check()
        prepared = prepare(self._schema, sent.query, sent.name, introspects=caller.introspects)
        allowed = sent.allowed and {kind.value for kind in sent.allowed}
        if allowed and prepared.kind.value not in allowed:
            raise BadRequest(f"A {prepared.kind.value} is not sent this way; send it by POST.")
        return prepared

    async def _once(
        self, prepared: Prepared, variables: dict[str, Any], caller: Caller
    ) -> ExecutionResult:
        def run() -> Any:
            with self._app.app_context():
                self._access.count_read(caller.client)
                return execute(self._schema, prepared, variables, context=caller)

        result = await self._in_thread(run)
        return ExecutionResult(result.data, result.errors)

    async def _follow(
        self, prepared: Prepared, variables: dict[str, Any], caller: Caller
    ) -> Results:
        wanted = asked(self._schema, prepared, variables)
        topic = self._feed.topic(wanted.arguments)
        if not self._groups.know(topic):
            await self._in_thread(self._check, wanted.arguments)
        with (
            self._groups.join(topic, wanted, caller.client.name) as group,
            SUBSCRIPTIONS.track_inprogress(),
        ):
            count = partial(self._access.count_read, caller.client)
            after = wanted.arguments.get(PLACE)
            del wanted  # with an executor that would be kept as long: the group has one for all
            async with aclosing(self._hub.follow(topic, after, count)) as followed:
                async for event in followed:
                    yield group.result(event)

    def _check(self, arguments: Mapping[str, Any]) -> None:
        with self._app.app_context():
            self._feed.check(arguments)


def _failed(failure: Refused | ApiError | SQLAlchemyError, caller: Caller) -> PreExecutionError:
    if isinstance(failure, Refused):
        return PreExecutionError(None, failure.errors)
    return PreExecutionError(None, [from_failure(failure, caller.request_id)])
