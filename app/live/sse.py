"""Event streams: graphql-sse, with the checks and headers that other requests have too."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.types import ExecutionResult

from app.errors import ApiError, MethodNotAllowed, NotAcceptable
from app.graphql.execution import format_result
from app.graphql.request import GraphQLRequest, parse_query_string, parse_request
from app.graphql.strawberry_adapter import STREAM_HEADERS, event_stream
from app.http.accept import EVENT_STREAM, JSON, negotiate
from app.http.cors import Cors
from app.http.instrumentation import REQUEST_ID
from app.http.preconditions import check_preconditions
from app.http.problems import buffered_problem
from app.http.request import check_content, read_json
from app.http.response import NO_SNIFFING, Headers
from app.json import FLOATS, encode
from app.live.connection import SCOPE_KEY, ClientConnection
from app.live.operations import ConnectionContext, Operations

METHODS = ("GET", "POST")
NOT_STORED = {"Cache-Control": "no-store"}


class StreamResponses:
    """Sends responses with the headers that all have; the base of what sends event streams."""

    def __init__(self, cors: Cors) -> None:
        self._cors = cors

    async def send_problem(self, error: ApiError, connection: ClientConnection) -> None:
        """Respond with a problem document, as on every other route."""
        problem = buffered_problem(error, connection.request_id)
        body = b"" if connection.environ["REQUEST_METHOD"] == "HEAD" else problem.body
        headers = {**dict(problem.headers), **NOT_STORED}
        await self.send(Response(body, error.status, headers), connection)

    async def send(self, response: Response, connection: ClientConnection) -> None:
        """Send a response."""
        response.headers.update(dict(self.headers({}, connection)))
        await response(connection.scope, connection.receive, connection.send)

    def headers(self, own: Mapping[str, str], connection: ClientConnection) -> Headers:
        """Return the headers ``own`` of a response, and those that every response has."""
        request_id = (REQUEST_ID, connection.request_id)
        headers = [*own.items(), *connection.rate_limit_headers, request_id, NO_SNIFFING]
        self._cors.add_headers(headers, connection.environ)
        return headers


class EventStreams(StreamResponses):
    """An ASGI application for connections that ``AsgiApp`` has admitted."""

    def __init__(self, operations: Operations, cors: Cors) -> None:
        super().__init__(cors)
        self._operations = operations

    def check(self, connection: ClientConnection) -> None:
        """Check method and headers before the body is read; raise ApiError."""
        method = connection.environ["REQUEST_METHOD"]
        if method not in METHODS:
            raise MethodNotAllowed(", ".join(METHODS))
        if _media_type(connection) is None:
            raise NotAcceptable(f"This resource is available as {EVENT_STREAM} or {JSON} only.")
        if method == "POST":
            check_content(connection.environ)
            check_preconditions(connection.environ, evaluates_if_match=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a stream, or with JSON to a client that accepts only that; raise ApiError.

        No ApiError is raised once the response has begun.
        """
        connection: ClientConnection = scope[SCOPE_KEY]
        if connection.environ["REQUEST_METHOD"] == "GET":
            sent = parse_query_string(scope["query_string"])
        else:
            body = await Request(scope, receive).body()
            # In a thread: a body of 1 MB can take a quarter of a second.
            sent = parse_request(await asyncio.to_thread(read_json, body, FLOATS))
        await self.send(await self._execute(sent, connection), connection)

    async def _execute(self, sent: GraphQLRequest, connection: ClientConnection) -> Response:
        context = ConnectionContext(connection)
        environ = connection.environ
        # A mutation of a stream is not stored for its Idempotency-Key.
        read_only = environ["REQUEST_METHOD"] == "GET" or "HTTP_IDEMPOTENCY_KEY" in environ
        if _media_type(connection) == JSON:
            result = await self._operations.execute(sent, context, read_only=read_only)
            return Response(encode(_document(result)), 200, NOT_STORED, JSON)
        results = await self._operations.open_stream(sent, context, read_only=read_only)
        return StreamingResponse(event_stream(_documents(results)), 200, STREAM_HEADERS)

    async def send_preflight(self, connection: ClientConnection) -> None:
        """Respond to a browser that asks if a page of another site may send a request."""
        preflight = self._cors.preflight(connection.environ, METHODS)
        await self.send(Response(None, 204, dict(preflight.headers)), connection)


def _media_type(connection: ClientConnection) -> str | None:
    return negotiate(connection.environ.get("HTTP_ACCEPT", ""), EVENT_STREAM, JSON)


def _document(result: ExecutionResult) -> dict[str, Any]:
    return format_result(cast(Any, result))  # strawberry's has the same members


async def _documents(results: Any) -> AsyncIterator[dict[str, Any]]:
    async with aclosing(results):
        async for result in results:
            yield _document(result)
