"""GraphQL over WebSockets and event streams, with the keys and limits of this service."""

from datetime import timedelta
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UnsetType

from app.auth.policy import AccessPolicy
from app.errors import ApiError, Unauthorized
from app.graphql.strawberry_adapter import ProtocolView
from app.live.connection import SCOPE_KEY
from app.live.hub import RunInThread
from app.live.operations import ConnectionContext, Operations
from app.live.registry import TRY_AGAIN_LATER, ConnectionRegistry

INIT_TIMEOUT_SECONDS = 10


class GraphQLProtocols(ProtocolView):
    """An ASGI application for graphql-transport-ws; ``serve_event_stream`` is for graphql-sse."""

    def __init__(
        self,
        operations: Operations,
        policy: AccessPolicy,
        registry: ConnectionRegistry,
        in_thread: RunInThread,
        allowed_origins: tuple[str, ...],
    ) -> None:
        super().__init__(
            cast(Any, operations),  # strawberry only calls its ``stream`` and ``execute``
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=timedelta(seconds=INIT_TIMEOUT_SECONDS),
            max_subscriptions_per_connection=None,  # our handler reports its limit with a code
            allowed_origins=allowed_origins,
        )
        self._policy = policy
        self._registry = registry
        self._in_thread = in_thread

    async def serve_event_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a stream, or with JSON if only that is accepted; raise HTTPException."""
        response = await self.run(Request(scope, receive))
        response.headers["X-Request-ID"] = scope[SCOPE_KEY].request_id
        response.headers.setdefault("Cache-Control", "no-store")
        await response(scope, receive, send)

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> ConnectionContext:
        return ConnectionContext(request.scope[SCOPE_KEY])

    async def on_ws_connect(
        self, context: ConnectionContext
    ) -> UnsetType | dict[str, object] | None:
        """Accept ``connection_init`` from clients with a valid key, or if none is required."""
        connection, params = context.connection, context.connection_params or {}
        sent = next((v for k, v in params.items() if k.lower() == "authorization"), None)
        if sent is not None:
            connection.authorization = str(sent)
        try:
            client = await self._in_thread(
                self._policy.authenticate, connection.authorization, connection.address
            )
            self._registry.reassign(connection, client)
        except Unauthorized:
            raise ConnectionRejectionError from None
        except ApiError as failure:  # over capacity, or the database is unavailable
            await connection.close(TRY_AGAIN_LATER, failure.detail)
        return UnsetType()  # acknowledge without a payload
