"""Server-sent events: the checks and error responses that a stream shares with other requests."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from app.errors import (
    ApiError,
    BadRequest,
    ContentTooLarge,
    MethodNotAllowed,
    NotAcceptable,
    UnsupportedMediaType,
)
from app.http.accept import JSON, accepts_json
from app.http.problems import buffered_problem

ALLOWED_METHODS = "GET, POST"
EVENT_STREAM = "text/event-stream"


def check_request(request: Request) -> None:
    """Check method and headers as for every other route; raise ApiError."""
    if request.method not in ALLOWED_METHODS.split(", "):
        raise MethodNotAllowed(ALLOWED_METHODS)
    accept = request.headers.get("accept", "")
    if not (accepts_json(accept) or EVENT_STREAM in accept):
        raise NotAcceptable(f"This resource is available as {EVENT_STREAM} or {JSON} only.")
    if request.method == "GET":
        if "query" not in request.query_params:
            raise BadRequest('A GraphQL request needs the parameter "query".')
    elif request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType("Send JSON, declared as Content-Type: application/json.")


def limit_body(receive: Receive, max_bytes: int) -> Receive:
    """Wrap ``receive``: raise ContentTooLarge for a long body, BadRequest for an incomplete one."""
    size, complete = 0, False

    async def limited() -> Message:
        nonlocal size, complete
        message = await receive()
        if message["type"] == "http.disconnect" and not complete:
            raise BadRequest("The body is incomplete.")
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise ContentTooLarge(f"The body is longer than {max_bytes} bytes.")
        complete = complete or not message.get("more_body", False)
        return message

    return limited


def problem_response(error: ApiError, request_id: str) -> Response:
    """Write ``error`` as a problem document, as on every other route."""
    problem = buffered_problem(error, request_id)
    headers = {"X-Request-ID": request_id, "Cache-Control": "no-store"}
    return Response(problem.body, error.status, {**dict(problem.headers), **headers})
