"""The parts of the OpenAPI document that all operations share."""

from http import HTTPStatus
from typing import Any

from flask import Flask
from marshmallow import Schema

from app.auth.guard import READS
from app.errors import RETRY_AFTER_SECONDS
from app.http.route_options import ResponseContract

TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "A failure, RFC 9457.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {**TEXT, "format": "uri-reference"},
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": TEXT,
        "request_id": TEXT,
        "errors": {
            "type": "array",
            "description": "With a 422: each wrong field.",
            "items": {
                "type": "object",
                "required": ["pointer", "in", "detail"],
                "properties": {
                    "pointer": {**TEXT, "description": "JSON pointer, RFC 6901."},
                    "in": {**TEXT, "enum": ["body", "query"]},
                    "detail": TEXT,
                },
            },
        },
    },
}
INFO = {
    "summary": "The back end of an online bookshop.",
    "description": "Books and what readers think of them. JSON in and out; failures are problem "
    "documents; lists are paged by opaque cursors.",
    "license": {"name": "MIT", "identifier": "MIT"},
    "contact": {"name": "The developers of Bookstall"},
}
WHY = {
    304: "The client has this answer already.",
    400: "The request cannot be read: no JSON, or a cursor that does not belong to this list.",
    401: "The API key is no good, or there is none where one is needed.",
    403: "The API key lacks the scope that this operation needs, its `x-scope`.",
    404: "There is no such thing.",
    406: "The client does not accept JSON.",
    409: "What is stored forbids it, or the first request with this Idempotency-Key still runs.",
    412: "The thing has changed since its ETag was read.",
    413: "The body is too large.",
    414: "The address is longer than 8,190 bytes.",
    415: "The body is not declared as application/json.",
    422: "A field or a query name is wrong; `errors` says which. Or the Idempotency-Key was sent "
    "before with another request.",
    429: "More requests than the limit allows; try again after `Retry-After` seconds.",
    500: "Something went wrong on our side.",
    503: "The database is away; try again after `Retry-After` seconds.",
}


IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {**TEXT, "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "Sent again within 24 hours with the same request, it gives the first answer "
    "again and writes nothing.",
}
LEFT, POLICY = '"read";r=599;t=60', '"read";q=600;w=60'
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, as `flask keys create` shows it once. Reads need none.",
}


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {**TEXT, **schema}}


REQUEST_ID = {"X-Request-ID": _header("The id of this request, as sent or made.")}
LIMITS = {
    "RateLimit": _header("Requests that are left, and for how many seconds.", examples=[LEFT]),
    "RateLimit-Policy": _header("The quota, and its window in seconds.", examples=[POLICY]),
}
ETAG = {"ETag": _header("Names these bytes; send it as If-None-Match.")}
CACHE_STATUS = {"Cache-Status": _header("What the cache did, RFC 9211.")}
LINK = {"Link": _header("The next page, RFC 8288.")}
LOCATION = {"Location": _header("Where the new thing stands.", format="uri-reference")}
REPLAYED = {"Idempotency-Replayed": _header("`true` where this is the first answer, again.")}
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "schema": {"type": "integer", "examples": [RETRY_AFTER_SECONDS]},
    }
}

CHALLENGE = {"WWW-Authenticate": _header("What to send, RFC 6750.")}
FURTHER: dict[int, dict[str, Any]] = {
    401: CHALLENGE,
    403: CHALLENGE,
    409: RETRY_AFTER,
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


def success_headers(contract: ResponseContract, method: str) -> dict[str, Any]:
    """Return the headers of a success."""
    return {
        **REQUEST_ID,
        **LIMITS,
        **CACHE_STATUS,
        **(ETAG if method == "GET" or contract.version_etag else {}),
        **(LINK if contract.paged else {}),
        **(LOCATION if contract.sets_location else {}),
        **(REPLAYED if method == "POST" else {}),
    }


def failure(status: int) -> dict[str, Any]:
    """Describe the failure ``status``."""
    if status == HTTPStatus.NOT_MODIFIED:
        headers = {**REQUEST_ID, **LIMITS, **CACHE_STATUS, **ETAG}
        return {"description": WHY[status], "headers": headers}
    if status == HTTPStatus.REQUEST_URI_TOO_LONG:  # the server says it before we are asked
        return {"description": WHY[status], "content": {"text/html": {"schema": TEXT}}}
    return {
        "description": WHY[status],
        "headers": {**REQUEST_ID, **LIMITS, **FURTHER.get(status, {})},
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }


def guard(scope: str | None, method: str, required: bool) -> dict[str, Any]:
    """Say whether an operation needs a key, and with which scope; any takes one.

    The scope has a name of its own: beside ``bearer`` some linters take it for a mistake.
    """
    if method in READS:
        return {"security": [{}, {"bearer": []}]}
    optional: list[dict[str, list[str]]] = [] if required else [{}]
    named = {"x-scope": scope} if scope else {}
    return {"security": [*optional, {"bearer": []}], **named}


def page_of(schema: type[Schema]) -> dict[str, Any]:
    """Describe a page of ``schema``."""
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": schema},
            "next_cursor": {"type": ["string", "null"]},
            "total": {"type": "integer", "minimum": 0},
        },
    }


def tags_of(app: Flask) -> list[dict[str, str]]:
    """Describe each blueprint by the first line of its module."""
    return [
        {"name": name, "description": str(blueprint.description)}
        for name, blueprint in app.blueprints.items()
        if hasattr(blueprint, "description")
    ]
