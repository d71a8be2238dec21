"""Everything that we use of strawberry beyond its documentation: its schema, its protocols."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import orjson
import strawberry
from graphql import GraphQLSchema
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from starlette.websockets import WebSocketDisconnected as StarletteDisconnected
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import (
    NonJsonMessageReceived,
    NonTextMessageReceived,
    WebSocketDisconnected,
)
from strawberry.http.streaming import SSETransport, merge_stream_with_heartbeat
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message, SubscribeMessage
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.errors import ApiError, TooManyOperations
from app.graphql.errors import from_failure
from app.graphql.messages import decode_message
from app.graphql.request import parse_request
from app.json import InvalidJson, escape_surrogates

HANDLER = "strawberry.subscriptions.protocols.graphql_transport_ws.handlers"
PRIVATE_NAMES = (
    "strawberry:Schema._schema",
    "strawberry.asgi:GraphQL._check_websocket_origin",
    "strawberry.asgi:GraphQL.graphql_transport_ws_handler_class",
    "strawberry.asgi:GraphQL.websocket_adapter_class",
    "strawberry.asgi:GraphQL.schema",
    "strawberry.asgi:ASGIWebSocketAdapter.iter_json",
    "strawberry.asgi:ASGIWebSocketAdapter.send_json",
    "strawberry.asgi:ASGIWebSocketAdapter.close",
    "strawberry.http.exceptions:NonJsonMessageReceived",
    "strawberry.http.exceptions:NonTextMessageReceived",
    "strawberry.http.exceptions:WebSocketDisconnected",
    "strawberry.http.streaming:SSETransport.encode_next",
    "strawberry.http.streaming:merge_stream_with_heartbeat",
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
IN_LOOP_MAX = 4_096
"""The characters of a longer message are read in a thread: 128 kB can take 50 ms."""
MAX_OPERATIONS = 50
MAX_ID_BYTES = 1_024
"""Of an operation: its id is kept as long as it runs, and sent with each event."""
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

    async def iter_json(
        self, *, ignore_parsing_errors: bool = False
    ) -> AsyncGenerator[object, None]:
        with contextlib.suppress(WebSocketDisconnect):
            while self.ws.application_state != WebSocketState.DISCONNECTED:
                try:
                    text = await self.ws.receive_text()
                except KeyError:
                    raise NonTextMessageReceived from None
                try:
                    yield await _decode(text)
                except InvalidJson:
                    raise NonJsonMessageReceived from None

    async def send_json(self, message: Mapping[str, object]) -> None:
        with _translate_disconnect():
            await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """Close with a reason that is cut between characters: it may quote the client."""
        with _translate_disconnect():
            printable = escape_surrogates(reason).encode()[:MAX_REASON_BYTES]
            await super().close(code, printable.decode(errors="ignore"))


async def _decode(text: str) -> object:
    if len(text) < IN_LOOP_MAX:
        return decode_message(text)
    return await asyncio.to_thread(decode_message, text)


@contextmanager
def _translate_disconnect() -> Iterator[None]:
    try:
        yield
    except (WebSocketDisconnect, StarletteDisconnected) as error:
        raise WebSocketDisconnected from error


class TransportWsHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """graphql-transport-ws with at most MAX_OPERATIONS operations on a connection.

    Closes with 4400 for malformed messages, which strawberry does not check; what is wrong inside
    the payload of an operation is an error of this operation alone. The context of an operation
    needs ``connection.request_id``.
    """

    async def handle_message(self, message: Message) -> None:
        try:
            checked = _check(message)
        except (KeyError, TypeError, ValueError):
            await self.handle_invalid_message("Failed to parse message")
        else:
            await super().handle_message(checked)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        try:
            if self.connection_acknowledged and message["id"] not in self.operations:
                self._check_operation(message["payload"])
        except ApiError as failure:
            error = from_failure(failure, self.context.connection.request_id).formatted
            await self.send_message({"id": message["id"], "type": "error", "payload": [error]})
        else:
            await super().handle_subscribe(message)

    def _check_operation(self, payload: Any) -> None:
        if isinstance(payload, ApiError):  # from ``decode_message``
            raise payload
        parse_request(payload)
        if len(self.operations) >= MAX_OPERATIONS:
            detail = f"A connection can have at most {MAX_OPERATIONS} operations at a time."
            raise TooManyOperations(detail)

    async def handle_task_exception(self, error: Exception) -> None:
        """Log a failure, unless it is only that the client has disconnected."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)


def _check(message: Any) -> Message:
    """Return a well-formed message; raise KeyError, TypeError or ValueError for any other."""
    if message["type"] in {"subscribe", "complete"} and (
        not isinstance(message["id"], str) or not 0 < len(message["id"].encode()) <= MAX_ID_BYTES
    ):
        raise TypeError(f"an id is a string of 1 to {MAX_ID_BYTES} bytes")
    if message["type"] == "subscribe":
        payload = message["payload"]
        if not isinstance(payload, ApiError) and "query" not in _members(payload):
            raise TypeError("a payload is an object with a query")
    if message["type"] == "connection_init" and message.get("payload") is None:
        return {"type": "connection_init"}
    return cast(Message, message)


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_SSE = SSETransport()
STREAM_HEADERS = dict(_SSE.headers)


def event_stream(results: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    """Write results as graphql-sse, and a comment at once and whenever nothing else is sent.

    At once, because gunicorn delays the headers until the body begins.
    """

    async def events() -> AsyncGenerator[str, None]:
        async for result in results:
            yield _SSE.encode_next(cast(Any, result), _encode)
        yield _SSE.encode_complete()

    def comment() -> str:
        return _SSE.heartbeat_message(_encode)

    return merge_stream_with_heartbeat(
        events, comment, _SSE.heartbeat_interval, send_initial_heartbeat=True
    )()


def _encode(document: object) -> str:
    return orjson.dumps(document).decode()  # results that are encoded already are copied unchanged


class ProtocolView(GraphQL[Any, None]):
    """The view of strawberry for WebSockets; ``schema`` needs ``stream``."""

    websocket_adapter_class = WebSocketAdapter
    graphql_transport_ws_handler_class = TransportWsHandler

    def allows_handshake(self, request: WebSocket) -> bool:
        """Return whether a page, or what is no browser, may open this WebSocket."""
        raise NotImplementedError

    def _check_websocket_origin(self, request: WebSocket) -> bool:
        return self.allows_handshake(request)

    def encode_json(self, data: object) -> str:
        return _encode(data)
