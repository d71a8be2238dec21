"""The library's view of GraphQL over WebSocket and event stream, with this service's manners."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message
from strawberry.types.unset import UnsetType

from app.access import Access
from app.errors import ApiError, Unauthorized
from app.live.hub import InThread
from app.live.line import LINE, Line
from app.live.lines import AGAIN_LATER, Lines
from app.live.operations import Context, Operations

INIT_SECONDS = 10
OPERATIONS_OF_A_LINE = 50


class Protocol(BaseGraphQLTransportWSHandler[Context, None]):
    """graphql-transport-ws; what has not even its shape ends with 4400."""

    async def handle_message(self, message: Message) -> None:
        """Take one message."""
        try:
            await super().handle_message(message)
        except (AttributeError, TypeError):
            await self.handle_invalid_message("Failed to parse message")


class View(GraphQL[Context, None]):
    """GraphQL for those who stay on the line."""

    graphql_transport_ws_handler_class = Protocol

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
            max_subscriptions_per_connection=OPERATIONS_OF_A_LINE,
            allowed_origins=allowed_origins,
        )
        self._access = access
        self._lines = lines
        self._in_thread = in_thread

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a stream; raise HTTPException for what is none of GraphQL."""
        response = await self.run(Request(scope, receive))
        response.headers["X-Request-ID"] = scope[LINE].request_id
        await response(scope, receive, send)

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
