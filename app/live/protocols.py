"""graphql-transport-ws, with the keys and limits of this service."""

from datetime import timedelta
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.websocket_origin import is_same_origin
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UnsetType

from app.auth.policy import AccessPolicy
from app.errors import ApiError, Unauthorized
from app.graphql.strawberry_adapter import ProtocolView
from app.http.cors import Cors
from app.live.connection import SCOPE_KEY, ClientConnection
from app.live.hub import RunInThread
from app.live.operations import ConnectionContext, Operations
from app.live.registry import TRY_AGAIN_LATER, ConnectionRegistry

INIT_TIMEOUT_SECONDS = 10


class GraphQLProtocols(ProtocolView):
    """An ASGI application for graphql-transport-ws."""

    def __init__(
        self,
        operations: Operations,
        policy: AccessPolicy,
        registry: ConnectionRegistry,
        in_thread: RunInThread,
        cors: Cors,
    ) -> None:
        super().__init__(
            cast(Any, operations),  # strawberry only calls its ``stream``
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=INIT_TIMEOUT_SECONDS),
            max_subscriptions_per_connection=None,  # our handler reports its limit with a code
        )
        self._policy = policy
        self._registry = registry
        self._in_thread = in_thread
        self._cors = cors

    def allows_handshake(self, request: WebSocket) -> bool:
        return self.is_allowed_origin(request.scope[SCOPE_KEY])

    def is_allowed_origin(self, connection: ClientConnection) -> bool:
        """Return whether a page of our own site or of an allowed one connects, or no browser."""
        origin = connection.environ.get("HTTP_ORIGIN")
        return (
            origin is None
            # TLS may end at a proxy: then only the browser knows the scheme of our own site.
            or connection.environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
            or is_same_origin(origin, connection.environ.get("HTTP_HOST"))
            or self._cors.allows(origin)
        )

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
