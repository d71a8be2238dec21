"""GraphQL operations for those who stay on the line: what the library's protocols call a schema.

A query or a mutation runs in a thread, as a request would; a subscription follows the hub.
"""

from collections import OrderedDict
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

from app.auth.policy import Client, access_to
from app.errors import ApiError, BadRequest
from app.events.log import Event
from app.graphql.errors import Refused, from_failure
from app.graphql.execution import Caller, Prepared, execute, prepare, was_refused
from app.live.connection import Line
from app.live.hub import Hub, InThread
from app.live.metrics import SUBSCRIPTIONS
from app.live.registry import Lines
from app.live.shared_execution import Groups
from app.live.subscription_query import PLACE, Reading

READINGS = 1_024
"""Documents of subscriptions that are kept: to come with one of them costs nothing."""
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

    def check_kind(self, kind: str) -> None:
        """Raise BadRequest for a kind that may not come this way."""
        if self.allowed and kind not in {allowed.value for allowed in self.allowed}:
            raise BadRequest(f"A {kind} is not sent this way; send it by POST.")


class Threads(NamedTuple):
    """Where what has to wait is done."""

    requests: InThread
    """With the requests: what a client's operation costs."""
    lines: InThread
    """Apart from them, and quick: what the lines themselves need."""


class Operations:
    """All operations of a schema; the library asks it as it would ask its own."""

    config = StrawberryConfig()

    def __init__(self, app: Flask, graph: Graph, hub: Hub, lines: Lines, threads: Threads) -> None:
        self._app = app
        self._schema, self._feed = graph
        self._hub = hub
        self._lines = lines
        self._threads = threads
        self._access = access_to(app)
        self._groups = Groups(self._feed.root)
        self._readings: OrderedDict[tuple[str, str | None], Reading] = OrderedDict()

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
            prepared = await self._prepared(sent, caller)
            return await self._once(prepared, sent, caller)
        except (Refused, ApiError, SQLAlchemyError) as failure:
            return _failed(failure, caller)

    async def _told(self, sent: Sent, context: Context) -> Results:
        caller = self._caller(context)
        try:
            sent.check()
            reading = self._readings.get((sent.query, sent.name))
            if reading is None:
                prepared = await self._prepared(sent, caller)
                if prepared.kind is not OperationType.SUBSCRIPTION:
                    yield await self._once(prepared, sent, caller)
                    return
                reading = await self._read(prepared, sent)
            async with aclosing(self._follow(reading, sent, caller)) as results:
                async for result in results:
                    yield result
        except (Refused, ApiError, SQLAlchemyError) as failure:
            yield _failed(failure, caller)

    def _caller(self, context: Context) -> Caller:
        return Caller(context.line.client, context.line.request_id, self._access)

    async def _prepared(self, sent: Sent, caller: Caller) -> Prepared:
        """Count an operation, and prepare it: in a thread, as this may take a while."""

        def prepared() -> Prepared:
            self._access.count_read(caller.client)
            return prepare(self._schema, sent.query, sent.name, introspects=caller.introspects)

        sent.check()
        found: Prepared = await self._threads.requests(prepared)
        sent.check_kind(found.kind.value)
        return found

    async def _read(self, prepared: Prepared, sent: Sent) -> Reading:
        reading: Reading = await self._threads.requests(Reading, self._schema, prepared)
        self._readings[sent.query, sent.name] = reading
        if len(self._readings) > READINGS:
            self._readings.popitem(last=False)
        return reading

    async def _once(self, prepared: Prepared, sent: Sent, caller: Caller) -> ExecutionResult:
        def run() -> Any:
            with self._app.app_context():
                return execute(self._schema, prepared, sent.variables, context=caller)

        result = await self._threads.requests(run)
        if was_refused(result):
            return PreExecutionError(None, result.errors)
        return ExecutionResult(result.data, result.errors)

    async def _follow(self, reading: Reading, sent: Sent, caller: Caller) -> Results:
        wanted, client = reading.asked(sent.variables or {}), caller.client
        topic, after = self._feed.topic(wanted.arguments), wanted.arguments.get(PLACE)
        if topic is not None and not self._groups.know(topic):
            await self._threads.lines(self._check, client, wanted.arguments)
        with (
            self._lines.subscriptions.hold(client.name),
            self._groups.join(topic, wanted, client.name) as group,
            SUBSCRIPTIONS.track_inprogress(),
        ):
            del wanted  # its executor is the group's
            count = partial(self._access.count_read, client)
            async with aclosing(self._hub.follow(topic, after, count)) as followed:
                async for log, event in followed:
                    yield group.result(log, event)

    def _check(self, client: Client, arguments: Mapping[str, Any]) -> None:
        self._access.count_read(client)
        with self._app.app_context():
            self._feed.check(arguments)


def _failed(failure: Refused | ApiError | SQLAlchemyError, caller: Caller) -> PreExecutionError:
    if isinstance(failure, Refused):
        return PreExecutionError(None, failure.errors)
    return PreExecutionError(None, [from_failure(failure, caller.request_id)])
