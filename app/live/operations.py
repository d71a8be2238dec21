"""GraphQL operations on live connections; strawberry's protocols use this as their schema.

A query or a mutation runs in a thread, as over HTTP. A subscription follows the hub.
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

from app.auth.policy import Client
from app.errors import ApiError, BadRequest
from app.events.log import Event
from app.graphql.errors import RequestError, from_failure
from app.graphql.execution import Caller, Prepared, execute, is_request_error, prepare
from app.graphql.strawberry_adapter import request_failed
from app.live.connection import ClientConnection
from app.live.hub import Hub, RunInThread
from app.live.metrics import ACTIVE_SUBSCRIPTIONS
from app.live.registry import ConnectionRegistry
from app.live.shared_execution import SharedExecutions
from app.live.subscription_query import CURSOR_ARGUMENT, ParsedSubscription
from app.services import services_of

MAX_PARSED = 1_024
"""Subscription documents that stay parsed; subscribing with one of them costs no read."""
Results = AsyncGenerator[ExecutionResult, None]


class EventSource(Protocol):
    """Connects the subscriptions of a schema with the event log."""

    def topic(self, arguments: Mapping[str, Any]) -> str | None:
        """Return the topic for these arguments, None for all; raise ApiError for invalid ones."""

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise ApiError if the subject does not exist; may read the database."""

    def root(self, log: str, event: Event) -> Any:
        """Return the root value for an event of ``log``."""


class LiveSchema(NamedTuple):
    """A schema and the source of its subscriptions' events."""

    schema: GraphQLSchema
    source: EventSource


@dataclass
class ConnectionContext:
    """The context of an operation; the protocol sets ``connection_params``."""

    connection: ClientConnection
    connection_params: dict[str, object] | None = None


class OperationRequest(NamedTuple):
    """An operation as the client sent it."""

    query: Any
    name: Any
    variables: Any
    allowed: Iterable[Any] | None
    """The kinds of operations that this transport supports; None for all."""

    def check(self) -> None:
        """Raise BadRequest if a member has the wrong type."""
        if not isinstance(self.query, str) or not isinstance(self.name, str | None):
            raise BadRequest('"query" must be a string, and "operationName" too if it is present.')
        if not isinstance(self.variables, dict | None):
            raise BadRequest('"variables" must be an object if present.')

    def check_kind(self, kind: str) -> None:
        """Raise BadRequest if this transport does not support the kind of operation."""
        if self.allowed and kind not in {allowed.value for allowed in self.allowed}:
            raise BadRequest(f"Send a {kind} by POST; this request cannot carry it.")


class Executors(NamedTuple):
    """Thread pools for blocking calls."""

    requests: RunInThread
    """Shared with HTTP requests: for the operations of clients."""
    live: RunInThread
    """For short calls that must not wait for requests."""


class Operations:
    """Executes operations; implements what strawberry's protocols call of a schema."""

    config = StrawberryConfig()

    def __init__(
        self,
        app: Flask,
        schema: LiveSchema,
        hub: Hub,
        registry: ConnectionRegistry,
        executors: Executors,
    ) -> None:
        self._app = app
        self._schema, self._source = schema
        self._hub = hub
        self._registry = registry
        self._executors = executors
        self._policy = services_of(app).access_policy
        self._executions = SharedExecutions(self._source.root)
        self._parsed: OrderedDict[tuple[str, str | None], ParsedSubscription] = OrderedDict()

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
        """Return the results of an operation: one of a query, all future ones of a subscription."""
        request = OperationRequest(query, operation_name, variable_values, allowed_operation_types)
        return self._results(request, context_value)

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
        """Return the result of an operation, for a client that does not accept a stream."""
        caller = self._caller(context_value)
        request = OperationRequest(query, operation_name, variable_values, allowed_operation_types)
        try:
            prepared = await self._prepare(request, caller)
            return await self._execute_once(prepared, request, caller)
        except (RequestError, ApiError, SQLAlchemyError) as failure:
            return _failed(failure, caller)

    async def _results(self, request: OperationRequest, context: ConnectionContext) -> Results:
        caller = self._caller(context)
        try:
            request.check()
            parsed = self._parsed.get((request.query, request.name))
            if parsed is None:
                prepared = await self._prepare(request, caller)
                if prepared.kind is not OperationType.SUBSCRIPTION:
                    yield await self._execute_once(prepared, request, caller)
                    return
                parsed = await self._parse(prepared, request)
            async with aclosing(self._subscribe(parsed, request, caller)) as results:
                async for result in results:
                    yield result
        except (RequestError, ApiError, SQLAlchemyError) as failure:
            yield _failed(failure, caller)

    def _caller(self, context: ConnectionContext) -> Caller:
        connection = context.connection
        return Caller(connection.client, connection.request_id, self._policy)

    async def _prepare(self, request: OperationRequest, caller: Caller) -> Prepared:
        """Count an operation as a read and prepare it, in a thread because that may take long."""

        def count_and_prepare() -> Prepared:
            self._policy.count_read(caller.client)
            may_introspect = caller.may_introspect
            return prepare(self._schema, request.query, request.name, may_introspect=may_introspect)

        request.check()
        prepared: Prepared = await self._executors.requests(count_and_prepare)
        request.check_kind(prepared.kind.value)
        return prepared

    async def _parse(self, prepared: Prepared, request: OperationRequest) -> ParsedSubscription:
        parsed: ParsedSubscription = await self._executors.requests(
            ParsedSubscription, self._schema, prepared
        )
        self._parsed[request.query, request.name] = parsed
        if len(self._parsed) > MAX_PARSED:
            self._parsed.popitem(last=False)
        return parsed

    async def _execute_once(
        self, prepared: Prepared, request: OperationRequest, caller: Caller
    ) -> ExecutionResult:
        def run() -> Any:
            with self._app.app_context():
                return execute(self._schema, prepared, request.variables, context=caller)

        result = await self._executors.requests(run)
        if is_request_error(result):
            return request_failed(result.errors)
        return ExecutionResult(result.data, result.errors)

    async def _subscribe(
        self, parsed: ParsedSubscription, request: OperationRequest, caller: Caller
    ) -> Results:
        client = caller.client
        subscription = parsed.bind(request.variables or {})
        arguments = subscription.arguments
        topic, after = self._source.topic(arguments), arguments.get(CURSOR_ARGUMENT)
        if topic is not None and not self._executions.has_topic(topic):
            await self._executors.live(self._check, client, arguments)
        with (
            self._registry.subscriptions.hold(client.name),
            self._executions.join(topic, subscription, client.name) as execution,
            ACTIVE_SUBSCRIPTIONS.track_inprogress(),
        ):
            del subscription  # frees memory: only the shared execution needs the variables now
            count = partial(self._policy.count_read, client)
            async with aclosing(self._hub.follow(topic, after, count)) as events:
                async for log, event in events:
                    yield execution.result(log, event)

    def _check(self, client: Client, arguments: Mapping[str, Any]) -> None:
        self._policy.count_read(client)
        with self._app.app_context():
            self._source.check(arguments)


def _failed(failure: RequestError | ApiError | SQLAlchemyError, caller: Caller) -> ExecutionResult:
    if isinstance(failure, RequestError):
        return request_failed(failure.errors)
    return request_failed([from_failure(failure, caller.request_id)])
