"""GraphQL operations on live connections; strawberry's protocols use this as their schema.

A query or a mutation runs in a thread, as over HTTP. A subscription follows the hub.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from flask import Flask
from graphql import GraphQLSchema, OperationType
from sqlalchemy.exc import SQLAlchemyError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult

from app.auth.policy import Client
from app.errors import ApiError, BadRequest
from app.graphql.errors import RequestError, from_failure
from app.graphql.execution import Caller, Prepared, execute, is_request_error, prepare
from app.graphql.strawberry_adapter import pre_execution_error
from app.live.connection import ClientConnection
from app.live.hub import Hub, RunInThread
from app.live.metrics import ACTIVE_SUBSCRIPTIONS
from app.live.registry import ConnectionRegistry
from app.live.shared_execution import RootFactory, SharedExecutions
from app.live.subscription_query import CURSOR_ARGUMENT, ParsedSubscription
from app.services import services_of

MAX_PARSED = 1_024
"""Subscription documents that stay parsed; one of them does not count against the read quota."""
Results = AsyncGenerator[ExecutionResult, None]


class LiveSchema(NamedTuple):
    """A schema, and how its subscriptions use the event log."""

    graphql: GraphQLSchema
    topic: Callable[[Mapping[str, Any]], str | None]
    """Returns the topic for these arguments, None for all; raises ApiError for invalid ones."""
    check: Callable[[Mapping[str, Any]], None]
    """Raises ApiError if the subject of these arguments does not exist; may read the database."""
    root: RootFactory


@dataclass
class ConnectionContext:
    """The context of an operation; the protocol sets ``connection_params``."""

    connection: ClientConnection
    connection_params: dict[str, object] | None = None


class OperationRequest(NamedTuple):
    """An operation as the client sent it, under the names that strawberry passes to a schema."""

    query: Any
    operation_name: Any
    variable_values: Any
    allowed_operation_types: Iterable[Any] | None = None
    """The kinds of operations that this transport supports; None for all."""
    operation_extensions: Any = None
    root_value: None = None

    def check(self) -> None:
        """Raise BadRequest if a member has the wrong type."""
        if not isinstance(self.query, str) or not isinstance(self.operation_name, str | None):
            raise BadRequest('"query" must be a string, and "operationName" too if it is present.')
        if not isinstance(self.variable_values, dict | None):
            raise BadRequest('"variables" must be an object if present.')


class Operations:
    """Executes operations; implements what strawberry's protocols call of a schema.

    The operations of clients share ``in_request_thread`` with HTTP requests. ``in_live_thread`` is
    for short calls that must not wait for requests.
    """

    config = StrawberryConfig()

    def __init__(
        self,
        app: Flask,
        schema: LiveSchema,
        hub: Hub,
        registry: ConnectionRegistry,
        *,
        in_request_thread: RunInThread,
        in_live_thread: RunInThread,
    ) -> None:
        self._app = app
        self._schema = schema
        self._hub = hub
        self._registry = registry
        self._in_request_thread = in_request_thread
        self._in_live_thread = in_live_thread
        self._policy = services_of(app).access_policy
        self._executions = SharedExecutions(schema.root)
        self._parsed: OrderedDict[tuple[str, str | None], ParsedSubscription] = OrderedDict()

    async def stream(
        self, query: str | None, *, context_value: ConnectionContext, **sent: Any
    ) -> Results:
        """Return the results of an operation: one, or one per event for a subscription."""
        return self._results(OperationRequest(query, **sent), context_value)

    async def execute(
        self, query: str | None, *, context_value: ConnectionContext, **sent: Any
    ) -> ExecutionResult:
        """Return the result of an operation, for a client that does not accept a stream."""
        caller, request = self._caller(context_value), OperationRequest(query, **sent)
        try:
            prepared = await self._prepare(request, caller)
            return await self._single_result(prepared, request, caller)
        except (RequestError, ApiError, SQLAlchemyError) as failure:
            return _failed(failure, caller)

    async def _results(self, request: OperationRequest, context: ConnectionContext) -> Results:
        caller = self._caller(context)
        try:
            request.check()
            parsed = self._parsed.get((request.query, request.operation_name))
            if parsed is None:
                prepared = await self._prepare(request, caller)
                if prepared.kind is not OperationType.SUBSCRIPTION:
                    yield await self._single_result(prepared, request, caller)
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
            return prepare(
                self._schema.graphql,
                request.query,
                request.operation_name,
                may_introspect=caller.may_introspect,
            )

        request.check()
        prepared: Prepared = await self._in_request_thread(count_and_prepare)
        kind, allowed = prepared.kind.value, request.allowed_operation_types
        if allowed and kind not in {supported.value for supported in allowed}:
            raise BadRequest(f"Send a {kind} by POST; this request cannot carry it.")
        return prepared

    async def _parse(self, prepared: Prepared, request: OperationRequest) -> ParsedSubscription:
        parsed: ParsedSubscription = await self._in_request_thread(
            ParsedSubscription, self._schema.graphql, prepared
        )
        self._parsed[request.query, request.operation_name] = parsed
        if len(self._parsed) > MAX_PARSED:
            self._parsed.popitem(last=False)
        return parsed

    async def _single_result(
        self, prepared: Prepared, request: OperationRequest, caller: Caller
    ) -> ExecutionResult:
        def run() -> Any:
            with self._app.app_context():
                return execute(self._schema.graphql, prepared, request.variable_values, caller)

        result = await self._in_request_thread(run)
        if is_request_error(result):
            return pre_execution_error(result.errors)
        return ExecutionResult(result.data, result.errors)

    async def _subscribe(
        self, parsed: ParsedSubscription, request: OperationRequest, caller: Caller
    ) -> Results:
        client = caller.client
        subscription = parsed.bind(request.variable_values or {})
        arguments = subscription.arguments
        topic, after = self._schema.topic(arguments), arguments.get(CURSOR_ARGUMENT)
        if topic is not None and not self._executions.has_topic(topic):
            await self._in_live_thread(self._check, client, arguments)
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
            self._schema.check(arguments)


def _failed(failure: RequestError | ApiError | SQLAlchemyError, caller: Caller) -> ExecutionResult:
    if isinstance(failure, RequestError):
        return pre_execution_error(failure.errors)
    return pre_execution_error([from_failure(failure, caller.request_id)])
