"""The library's view of GraphQL over WebSocket and event stream, with this service's manners."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketDisconnected as WebSocketEnded
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.streaming import SSETransport
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message, SubscribeMessage
from strawberry.types.unset import UnsetType

from app.auth.policy import Access
from app.errors import ApiError, Unauthorized
from app.graphql.errors import from_failure
from app.live.connection import LINE, Line
from app.live.hub import InThread
from app.live.operations import Context, Operations
from app.live.registry import AGAIN_LATER, Lines

INIT_SECONDS = 10
OPERATIONS_OF_A_LINE = 50
REASON_BYTES = 123
"""What fits into a frame that closes."""


class TooManyOperations(ApiError):  # noqa: N818 - named as its kin
    """A line has as many operations as it may have at a time."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self) -> None:
        super().__init__(f"A line has at most {OPERATIONS_OF_A_LINE} operations at a time.")


class Adapter(ASGIWebSocketAdapter):
    """A WebSocket; one that ends while something is sent is no fault."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message."""
        with _ending():
            await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """End it. A reason, which may quote the client, must not be cut within a character."""
        with _ending():
            await super().close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))


@contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except (WebSocketDisconnect, WebSocketEnded) as error:
        raise WebSocketDisconnected from error


class Protocol(BaseGraphQLTransportWSHandler[Context, None]):
    """graphql-transport-ws; what has not even its shape ends with 4400."""

    async def handle_message(self, message: Message) -> None:
        """Take one message."""
        try:
            read = _read(message)
        except (KeyError, TypeError):
            await self.handle_invalid_message("Failed to parse message")
        else:
            await super().handle_message(read)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Take an operation, unless there are as many as a line may have."""
        is_new = self.connection_acknowledged and message["id"] not in self.operations
        if not is_new or len(self.operations) < OPERATIONS_OF_A_LINE:
            await super().handle_subscribe(message)
            return
        refused = from_failure(TooManyOperations(), self.context.line.request_id).formatted
        await self.send_message({"id": message["id"], "type": "error", "payload": [refused]})

    async def handle_task_exception(self, error: Exception) -> None:
        """Log a failure; that the line has ended meanwhile is none."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)


def _read(message: Any) -> Message:
    """Return a message; raise KeyError or TypeError for what is none."""
    if message["type"] in {"subscribe", "complete"} and not _is_id(message["id"]):
        raise TypeError("an id is a text")
    if message["type"] == "subscribe" and "query" not in dict(message["payload"]):
        raise TypeError("a payload is an object with a query")
    if message["type"] == "connection_init" and message.get("payload") is None:
        return {"type": "connection_init"}
    return cast(Message, message)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value)


class EventStream(SSETransport):
    """graphql-sse; a comment comes at once, as a server keeps the head until something follows."""

    send_initial_heartbeat = True


STREAMS = {GRAPHQL_SSE_PROTOCOL: EventStream}


class View(GraphQL[Context, None]):
    """GraphQL for those who stay on the line."""

    graphql_transport_ws_handler_class = Protocol
    websocket_adapter_class = Adapter
    stream_transport_classes_by_protocol = STREAMS

    def __init__(
        self,
        operations: Operations,
        access: Access,
        lines: Lines,
        in_thread: InThread,
        allowed_origins: tuple[str, ...],
    ) -> None:
        super().__init__(
            cast(Any, operations),  # all that the library asks of a schema
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
            max_subscriptions_per_connection=None,  # the protocol says it with a code
            allowed_origins=allowed_origins,
        )
        self._access = access
        self._lines = lines
        self._in_thread = in_thread

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a stream; raise HTTPException for what is none of GraphQL."""
        response = await self.run(Request(scope, receive))
        response.headers["X-Request-ID"] = scope[LINE].request_id
        response.headers.setdefault("Cache-Control", "no-store")
        await response(scope, receive, send)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> Any:
        """Read a request; raise HTTPException for what is none."""
        try:
            return await super().parse_http_body(request)
        except AttributeError:  # JSON, and no object
            raise HTTPException(400, "A request of GraphQL is an object.") from None

    def is_of_our_site(self, request: Request) -> bool:
        """Tell whether no page of another site asks, but those of ALLOWED_ORIGINS."""
        return self._check_websocket_origin(cast(WebSocket, request))

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> Context:
        """Name the line that the operations belong to."""
        line: Line = request.scope[LINE]
        return Context(line)

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        """Let in who shows a good key, or needs none."""
        line = context.line
        try:
            await self._identify(line, context.connection_params or {})
        except Unauthorized:
            raise ConnectionRejectionError from None
        except ApiError as failure:  # too many, or the database is away
            await line.close(AGAIN_LATER, failure.detail)
        return UnsetType()

    async def _identify(self, line: Line, params: Mapping[str, object]) -> None:
        shown = next((v for k, v in params.items() if k.lower() == "authorization"), None)
        line.presented = line.presented if shown is None else str(shown)
        client = await self._in_thread(self._access.admit, line.presented, line.address)
        self._lines.rename(line, client)

    def encode_json(self, data: object) -> str:
        """Write JSON; a result that is written already is taken as it is."""
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> object:
        """Read JSON."""
        return orjson.loads(data)
