"""The components that the operations of the OpenAPI document share."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import getdoc
from typing import Any

from flask import Flask
from marshmallow import Schema

from app import errors
from app.api.blueprint import ApiBlueprint
from app.api.fields import ID_MAX, OneOf
from app.api.openapi_description import DESCRIPTION
from app.auth.guard import READS
from app.db.snapshots import TooManyExports
from app.http.route_options import ResponseContract, RouteOptions
from app.services import current_services

TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {**TEXT, "format": "uri-reference"},
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": TEXT,
        "request_id": TEXT,
        "results": {
            "type": "array",
            "description": "The results of an atomic bulk request, with status 409.",
            "items": {"type": "object"},
        },
        "errors": {
            "type": "array",
            "description": "The invalid fields, with status 422.",
            "items": {
                "type": "object",
                "required": ["pointer", "in", "detail"],
                "properties": {
                    "pointer": {**TEXT, "description": "A JSON pointer (RFC 6901)."},
                    "in": {**TEXT, "enum": ["body", "query"]},
                    "detail": TEXT,
                },
            },
        },
    },
}
INFO = {
    "summary": "The back end of an online bookshop.",
    "description": DESCRIPTION,
    "license": {"name": "MIT", "identifier": "MIT"},
    "contact": {"name": "The developers of Bookstall"},
}
ERRORS: tuple[type[errors.ApiError], ...] = (
    errors.BadRequest,
    errors.Unauthorized,
    errors.Forbidden,
    errors.NotFound,
    errors.NotAcceptable,
    errors.RequestTimeout,
    errors.Conflict,
    errors.RequestInProgress,
    errors.WindowPassed,
    errors.PreconditionFailed,
    errors.ContentTooLarge,
    errors.UnsupportedMediaType,
    errors.Unprocessable,
    errors.IdempotencyKeyReused,
    errors.TooManyRequests,
    errors.InternalError,
    errors.Unavailable,
    TooManyExports,
)


def _descriptions() -> dict[int, str]:
    descriptions = {
        304: "The response that the client has stored is still current.",
        414: "The URL is longer than 8,190 bytes.",
    }
    for error in ERRORS:
        status, text = int(error.status), getdoc(error) or ""
        known = descriptions.get(status)
        descriptions[status] = f"{known} Or: {text}" if known else text
    return dict(sorted(descriptions.items()))


DESCRIPTIONS = _descriptions()
"""What each status means. An error is described by its docstring."""
PATH_ID = {
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 1, "maximum": ID_MAX},
    "example": 1,
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {**TEXT, "minLength": 1, "maxLength": 255, "pattern": "^[!-+\\--~]+$"},
    "description": "If the same request is sent again with this key within 24 hours, the "
    "response to the first one is returned and nothing is written.",
}
TAG = '(W/)?"[!#-~]*"'
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": False,
    "schema": {**TEXT, "examples": ['"3"'], "pattern": rf"^(\*|{TAG}(, *{TAG})*)$"},
    "description": "The ETag of the resource, with its quotes. If that has another version by now, "
    "the response is 412 and nothing changes.",
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, as `flask keys create` prints it. Reads do not require one.",
}


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {**TEXT, **schema}}


COMMON_HEADERS = {
    "X-Request-ID": _header("The request id: from the client, or a new one."),
    "RateLimit": _header(
        "The remaining requests within the given number of seconds.", examples=['"read";r=599;t=60']
    ),
    "RateLimit-Policy": _header(
        "The quota and its window in seconds.", examples=['"read";q=600;w=60']
    ),
}
ETAG = {"ETag": _header("Identifies this version of the response; send it as If-None-Match.")}
CACHE_STATUS = {"Cache-Status": _header("How the cache handled the request (RFC 9211).")}
LINK = {"Link": _header("The next page (RFC 8288).")}
LOCATION = {"Location": _header("The URL of the new resource.", format="uri-reference")}
REPLAYED = {"Idempotency-Replayed": _header("`true` if this is a stored response.")}
RETRY_AFTER = {
    "Retry-After": {
        "description": "The seconds to wait before the next attempt.",
        "schema": {"type": "integer", "examples": [errors.RETRY_AFTER_SECONDS]},
    }
}

CHALLENGE = {"WWW-Authenticate": _header("The required authentication (RFC 6750).")}
ERROR_HEADERS: dict[int, dict[str, Any]] = {
    401: CHALLENGE,
    403: CHALLENGE,
    409: RETRY_AFTER,
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


def success_headers(contract: ResponseContract, method: str) -> dict[str, Any]:
    """Return the headers of a successful response."""
    return {
        **COMMON_HEADERS,
        **CACHE_STATUS,
        **(ETAG if (method == "GET" and not contract.streams) or contract.version_etag else {}),
        **(LINK if contract.paged else {}),
        **(LOCATION if contract.location else {}),
        **(REPLAYED if method == "POST" else {}),
    }


def error_response(status: int) -> dict[str, Any]:
    """Describe the response with an error status, or 304."""
    description = DESCRIPTIONS[status]
    if status == HTTPStatus.NOT_MODIFIED:
        headers = {**COMMON_HEADERS, **CACHE_STATUS, **ETAG}
        return {"description": description, "headers": headers}
    if status == HTTPStatus.REQUEST_URI_TOO_LONG:  # gunicorn responds to it, with a page
        return {"description": description}
    return {
        "description": description,
        "headers": {**COMMON_HEADERS, **ERROR_HEADERS.get(status, {})},
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }


def security(options: RouteOptions, method: str) -> dict[str, Any]:
    """Describe whether an operation requires an API key, and which scope.

    A key that is optional is not described: code generators take it for a required one.
    The scope is an extension, ``x-scope``: in the list of ``bearer``, where OpenAPI 3.1 allows
    it too, some linters report it as an error.
    """
    if method in READS and not options.is_private:
        return {"security": []}
    required = current_services().settings.require_api_key
    extension = {"x-scope": options.scope} if options.scope else {}
    return {"security": [{"bearer": []}] if required else [], **extension}


def example_of(schema: type[Schema]) -> dict[str, Any]:
    """Return a valid body: the first example of each field."""
    fields = schema().load_fields
    examples = {name: field.metadata.get("examples") for name, field in fields.items()}
    return {name: values[0] for name, values in examples.items() if values}


def alternatives(converter: Any, field: Any, **_: Any) -> dict[str, Any]:
    """Describe a field that one of several schemas reads; apispec calls this for each field."""
    schemas = field.schemas if isinstance(field, OneOf) else ()
    return {"oneOf": [converter.resolve_nested_schema(each) for each in schemas]} if schemas else {}


def body_schemas(bodies: Iterable[type[Schema]]) -> Iterator[type[Schema]]:
    """Yield the schemas of bodies, and those of the objects in them."""
    for body in bodies:
        yield body
        for field in body().load_fields.values():
            if isinstance(inner := getattr(field, "inner", field), OneOf):
                yield from inner.schemas


def page_schema(item: str) -> dict[str, Any]:
    """Describe a page of the component ``item``."""
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}},
            "next_cursor": {"type": ["string", "null"]},
            "total": {"type": "integer", "minimum": 0},
        },
    }


def tags(app: Flask) -> list[dict[str, str]]:
    """Describe the tags of each ApiBlueprint."""
    return [
        {"name": name, "description": description}
        for blueprint in app.blueprints.values()
        if isinstance(blueprint, ApiBlueprint)
        for name, description in blueprint.tags.items()
    ]
