"""Everything that we use of strawberry beyond its documentation: its schema, its protocols."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import orjson
import strawberry
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketDisconnected as StarletteDisconnected
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.streaming import SSETransport
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message, SubscribeMessage
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.errors import TooManyOperations
from app.graphql.errors import from_failure

HANDLER = "strawberry.subscriptions.protocols.graphql_transport_ws.handlers"
PRIVATE_NAMES = (
    "strawberry:Schema._schema",
    "strawberry.asgi:GraphQL._check_websocket_origin",
    "strawberry.asgi:GraphQL.graphql_transport_ws_handler_class",
    "strawberry.asgi:GraphQL.websocket_adapter_class",
    "strawberry.asgi:GraphQL.stream_transport_classes_by_protocol",
    "strawberry.asgi:GraphQL.parse_http_body",
    "strawberry.asgi:GraphQL.schema",
    "strawberry.asgi:ASGIWebSocketAdapter.send_json",
    "strawberry.asgi:ASGIWebSocketAdapter.close",
    "strawberry.http.exceptions:WebSocketDisconnected",
    "strawberry.http.streaming:SSETransport.send_initial_heartbeat",
    "strawberry.types.execution:PreExecutionError",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.handle_message",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.handle_invalid_message",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.handle_subscribe",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.handle_task_exception",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.send_message",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.operations",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.connection_acknowledged",
    f"{HANDLER}:BaseGraphQLTransportWSHandler.context",
)
MAX_OPERATIONS = 50
MAX_REASON_BYTES = 123
"""The longest reason that fits into a close frame (RFC 6455, 5.5)."""


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """Return the graphql-core schema of ``schema``."""
    return schema._schema


def pre_execution_error(errors: Any) -> ExecutionResult:
    """Return a result that ends its operation, on a WebSocket by an ``error`` message."""
    return PreExecutionError(None, errors)


class WebSocketAdapter(ASGIWebSocketAdapter):
    """A WebSocket; reports a client that has disconnected by the exception of strawberry."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        with _translate_disconnect():
            await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """Close with a reason that is cut between characters: it may quote the client."""
        with _translate_disconnect():
            await super().close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))


@contextmanager
def _translate_disconnect() -> Iterator[None]:
    try:
        yield
    except (WebSocketDisconnect, StarletteDisconnected) as error:
        raise WebSocketDisconnected from error


class TransportWsHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """graphql-transport-ws with at most MAX_OPERATIONS operations on a connection.

    Closes with 4400 for malformed messages, which strawberry does not check. The context of an
    operation needs ``connection.request_id``.
    """

    async def handle_message(self, message: Message) -> None:
        try:
            checked = _check(message)
        except (KeyError, TypeError):
            await self.handle_invalid_message("Failed to parse message")
        else:
            await super().handle_message(checked)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        is_new = self.connection_acknowledged and message["id"] not in self.operations
        if not is_new or len(self.operations) < MAX_OPERATIONS:
            await super().handle_subscribe(message)
            return
        detail = f"A connection can have at most {MAX_OPERATIONS} operations at a time."
        error = from_failure(TooManyOperations(detail), self.context.connection.request_id)
        await self.send_message(
            {"id": message["id"], "type": "error", "payload": [error.formatted]}
        )

    async def handle_task_exception(self, error: Exception) -> None:
        """Log a failure, unless it is only that the client has disconnected."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)


def _check(message: Any) -> Message:
    """Return a well-formed message; raise KeyError or TypeError for any other."""
    if message["type"] in {"subscribe", "complete"} and (
        not isinstance(message["id"], str) or not message["id"]
    ):
        raise TypeError("an id is a non-empty string")
    if message["type"] == "subscribe" and "query" not in dict(message["payload"]):
        raise TypeError("a payload is an object with a query")
    if message["type"] == "connection_init" and message.get("payload") is None:
        return {"type": "connection_init"}
    return cast(Message, message)


class EventStreamTransport(SSETransport):
    """graphql-sse; sends a comment at once, as gunicorn delays headers until the body begins."""

    send_initial_heartbeat = True


STREAM_TRANSPORTS = {GRAPHQL_SSE_PROTOCOL: EventStreamTransport}


class ProtocolView(GraphQL[Any, None]):
    """The view of strawberry for both protocols; ``schema`` needs ``stream`` and ``execute``."""

    websocket_adapter_class = WebSocketAdapter
    stream_transport_classes_by_protocol = STREAM_TRANSPORTS
    graphql_transport_ws_handler_class = TransportWsHandler

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> Any:
        try:
            return await super().parse_http_body(request)
        except AttributeError:  # valid JSON, but not an object
            raise HTTPException(400, "A GraphQL request must be a JSON object.") from None

    def is_allowed_origin(self, request: Request) -> bool:
        """Return whether the request comes from our own site or an allowed one, or no browser."""
        return self._check_websocket_origin(cast(WebSocket, request))

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()  # results that are encoded already are copied unchanged

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)
