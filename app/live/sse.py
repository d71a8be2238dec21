"""What an event stream has in common with every other request: its refusals, and its bounds."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from app.api.contract import JSON, takes_json
from app.errors import ApiError, BadRequest, NotAcceptable, UnsupportedMediaType
from app.http.problems import refusal

METHODS = "GET, POST"
STREAM = "text/event-stream"


class MethodNotAllowed(ApiError):  # noqa: N818 - named as its kin
    """A stream is asked for by GET or POST."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def headers(self) -> dict[str, str]:
        """Name the methods."""
        return {"Allow": METHODS}


class TooLarge(ApiError):  # noqa: N818
    """The body has more bytes than MAX_BODY_BYTES."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class OtherSite(ApiError):  # noqa: N818
    """A page of another site asks."""

    status = HTTPStatus.FORBIDDEN


def check(request: Request) -> None:
    """Raise ApiError for what could not be answered, as on every route."""
    if request.method not in METHODS.split(", "):
        raise MethodNotAllowed(f"A stream is asked for by {METHODS}.")
    accept = request.headers.get("accept", "")
    if not (takes_json(accept) or STREAM in accept):
        raise NotAcceptable(f"This resource is available as {STREAM}, and answers as {JSON}.")
    if request.method == "GET":
        if "query" not in request.query_params:
            raise BadRequest('A request of GraphQL has a "query".')
    elif request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType("Send JSON, declared as Content-Type: application/json.")


def within(receive: Receive, most: int) -> Receive:
    """Read ``most`` bytes of a body at most; raise TooLarge, or BadRequest if it breaks off."""
    read, whole = 0, False

    async def bounded() -> Message:
        nonlocal read, whole
        message = await receive()
        if message["type"] == "http.disconnect" and not whole:
            raise BadRequest("The body could not be read to its end.")
        read += len(message.get("body", b""))
        if read > most:
            raise TooLarge(f"A body has {most} bytes at most.")
        whole = whole or not message.get("more_body", False)
        return message

    return bounded


def refused(error: ApiError, request_id: str) -> Response:
    """Write ``error`` as on every route."""
    answer = refusal(error, request_id)
    told = {"X-Request-ID": request_id, "Cache-Control": "no-store"}
    return Response(answer.body, error.status, {**dict(answer.headers), **told})
