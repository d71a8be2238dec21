"""GraphQL operations on live connections; strawberry's protocols use this as their schema.

A query or a mutation runs in a thread, as over HTTP. A subscription follows the hub.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from flask import Flask
from graphql import GraphQLSchema, OperationType
from sqlalchemy.exc import SQLAlchemyError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult

from app.errors import ApiError, BadRequest
from app.graphql.errors import RequestError
from app.graphql.execution import Caller, Prepared, execute, is_request_error, prepare
from app.graphql.request import GraphQLRequest
from app.graphql.strawberry_adapter import pre_execution_error
from app.graphql.subscriptions import SubscriptionField
from app.live.connection import ClientConnection
from app.live.hub import Hub, RunInThread
from app.live.metrics import ACTIVE_SUBSCRIPTIONS
from app.live.registry import ConnectionRegistry
from app.live.results import (
    RawResults,
    Results,
    failed_unless_limited,
    once,
    prepend,
    report_failures,
)
from app.live.shared_execution import SharedExecutions
from app.live.subscription_query import CURSOR_ARGUMENT, ParsedSubscription
from app.services import services_of

MAX_PARSED = 1_024
"""Subscription documents that stay parsed; one of them does not count against the read quota."""


class LiveSchema(NamedTuple):
    """A schema, and how its subscriptions use the event log."""

    graphql: GraphQLSchema
    fields: Mapping[str, SubscriptionField]
    """Of the Subscription type, by name."""


@dataclass
class ConnectionContext:
    """The context of an operation; the protocol sets ``connection_params``."""

    connection: ClientConnection
    connection_params: dict[str, object] | None = None


class Operation(NamedTuple):
    """An operation that a client requests."""

    request: GraphQLRequest
    caller: Caller
    read_only: bool = False
    is_counted: bool = False
    """The request counts as a read already, as that of every event stream does."""


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
        fields = schema.fields.items()
        self._executions = {name: SharedExecutions(field.root) for name, field in fields}
        self._parsed: OrderedDict[tuple[str, str | None], ParsedSubscription] = OrderedDict()

    async def stream(
        self,
        query: str,
        *,
        context_value: ConnectionContext,
        variable_values: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        root_value: None = None,
    ) -> Results:
        """Return the results of an operation on a WebSocket; a failure is a result too."""
        caller = self._caller(context_value)
        request = GraphQLRequest(query, operation_name, variable_values or {})
        return report_failures(self._results(Operation(request, caller)), caller)

    async def open_stream(
        self, request: GraphQLRequest, context: ConnectionContext, *, read_only: bool
    ) -> Results:
        """Begin an operation on an event stream, and return its results.

        A limit that it exceeds raises ApiError, so that the response is a 429. Other failures
        are results, as they are of the operation and not of the request.
        """
        caller = self._caller(context)
        results = self._results(Operation(request, caller, read_only, is_counted=True))
        try:
            first = await anext(results)
        except (RequestError, ApiError, SQLAlchemyError) as failure:
            return once(failed_unless_limited(failure, caller))
        return report_failures(prepend(first, results), caller)

    async def execute(
        self, request: GraphQLRequest, context: ConnectionContext, *, read_only: bool
    ) -> ExecutionResult:
        """Return the result of an operation, for a client that does not accept a stream.

        Raise the same ApiErrors as ``open_stream``.
        """
        caller = self._caller(context)
        operation = Operation(request, caller, read_only, is_counted=True)
        try:
            return await self._single_result(await self._prepare(operation), operation)
        except (RequestError, ApiError, SQLAlchemyError) as failure:
            return failed_unless_limited(failure, caller)

    async def _results(self, operation: Operation) -> RawResults:
        """Yield the results of an operation; of a subscription first None, once it has begun."""
        request = operation.request
        parsed = self._parsed.get((request.query, request.operation_name))
        if parsed is None:
            prepared = await self._prepare(operation)
            if prepared.kind is not OperationType.SUBSCRIPTION:
                yield await self._single_result(prepared, operation)
                return
            parsed = await self._parse(prepared, request)
        async with aclosing(self._subscribe(parsed, operation)) as results:
            async for result in results:
                yield result

    def _caller(self, context: ConnectionContext) -> Caller:
        connection = context.connection
        return Caller(connection.client, connection.request_id, self._policy)

    async def _prepare(self, operation: Operation) -> Prepared:
        """Count an operation as a read and prepare it, in a thread because that may take long."""
        request, caller = operation.request, operation.caller

        def count_and_prepare() -> Prepared:
            self._count(operation)
            return prepare(
                self._schema.graphql,
                request.query,
                request.operation_name,
                may_introspect=caller.may_introspect,
            )

        prepared: Prepared = await self._in_request_thread(count_and_prepare)
        if operation.read_only and prepared.kind is OperationType.MUTATION:
            raise BadRequest("Send a mutation by POST, and with an Idempotency-Key to /graphql.")
        return prepared

    async def _parse(self, prepared: Prepared, request: GraphQLRequest) -> ParsedSubscription:
        parsed: ParsedSubscription = await self._in_request_thread(
            ParsedSubscription, self._schema.graphql, prepared
        )
        self._parsed[request.query, request.operation_name] = parsed
        if len(self._parsed) > MAX_PARSED:
            self._parsed.popitem(last=False)
        return parsed

    async def _single_result(self, prepared: Prepared, operation: Operation) -> ExecutionResult:
        def run() -> Any:
            variables = operation.request.variables
            with self._app.app_context():
                return execute(self._schema.graphql, prepared, variables, operation.caller)

        result = await self._in_request_thread(run)
        if is_request_error(result):
            return pre_execution_error(result.errors)
        return ExecutionResult(result.data, result.errors)

    async def _subscribe(self, parsed: ParsedSubscription, operation: Operation) -> RawResults:
        client = operation.caller.client
        subscription = parsed.bind(operation.request.variables)
        arguments = subscription.arguments
        topic, keys, check = self._schema.fields[parsed.field_name].follow(arguments)
        executions, after = self._executions[parsed.field_name], arguments.get(CURSOR_ARGUMENT)
        if check is not None and not executions.has_topic(topic):
            await self._in_live_thread(self._check, operation, check)
        with (
            self._registry.subscriptions.hold(client.name),
            executions.join(topic, subscription, client.name) as execution,
            ACTIVE_SUBSCRIPTIONS.track_inprogress(),
        ):
            yield None
            del subscription  # frees memory: only the shared execution needs the variables now
            count = partial(self._policy.count_read, client)
            async with aclosing(self._hub.follow(keys, after, count)) as events:
                async for log, event in events:
                    yield execution.result(log, event)

    def _check(self, operation: Operation, check: Callable[[], Any]) -> None:
        self._count(operation)
        with self._app.app_context():
            check()

    def _count(self, operation: Operation) -> None:
        if not operation.is_counted:
            self._policy.count_read(operation.caller.client)
