"""What clients send: headers, JSON bodies, query strings and If-Match; one reader for each."""

import json
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import BadRequest, Unprocessable, UnsupportedMediaType
from app.http.accept import JSON
from app.http.response import Environ
from app.json import DECIMALS, InvalidJson, decode

ENVIRON: ContextVar[Environ] = ContextVar("environ")
"""The environ of the current request. app/middleware.py sets it, also where Flask is not called."""
ROUTE = "bookstall.route"
"""The key under which the environ has the rule of the view that is called."""
UNPREFIXED = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
READ_ERRORS: tuple[type[Exception], ...] = (OSError,)
with suppress(ImportError):  # another server can run the application too
    from gunicorn.http.errors import ParseException

    READ_ERRORS += (ParseException,)  # for an invalid chunk


def environ_of(scope: Mapping[str, Any]) -> Environ:
    """Return what a client of an ASGI server sent under the names of WSGI.

    So one rule holds for all requests: several lines of one header are one list with commas, and
    each byte of a value is the character of the same number.
    """
    client = scope.get("client") or ("",)
    path = scope["path"].encode("utf-8", "surrogateescape").decode("latin-1")
    method = scope.get("method", "GET")  # a WebSocket has none
    environ: Environ = {
        "REMOTE_ADDR": client[0],
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        key, text = key if key in UNPREFIXED else f"HTTP_{key}", value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def request_path() -> str:
    """Return the path of the current request, as the routes see it: with one slash in front."""
    sent: str = ENVIRON.get()["PATH_INFO"]
    return "/" + sent.encode("latin-1").decode(errors="replace").lstrip("/")


def query_string() -> bytes:
    """Return the query string of the current request, as it was sent."""
    text: str = ENVIRON.get().get("QUERY_STRING", "")
    return text.encode("latin-1")


def check_content(environ: Environ) -> None:
    """Raise UnsupportedMediaType unless the body is declared as plain JSON."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise UnsupportedMediaType("Send JSON, declared as Content-Type: application/json.")
    if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")


def read_json(body: bytes, decoder: json.JSONDecoder = DECIMALS) -> Any:
    """Return the JSON of a body; raise BadRequest."""
    try:
        return decode(body, decoder)
    except InvalidJson as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


def read_body(decoder: json.JSONDecoder = DECIMALS) -> Any:
    """Return the JSON of the body of the current request."""
    check_content(request.environ)
    return read_json(read_bytes(), decoder)


def read_bytes() -> bytes:
    """Return the body, which can be read again; raise ApiError if it is not complete.

    werkzeug accepts a body that ends early, and truncates a chunked one that is too long.
    """
    length = request.content_length
    try:
        body = request.get_data()
        is_truncated = length is None and request.environ["wsgi.input"].read(1)
    except READ_ERRORS:
        raise BadRequest("The body could not be read to its end.") from None
    if is_truncated:
        raise RequestEntityTooLarge
    if length is not None and len(body) < length:
        raise BadRequest("The body could not be read to its end.")
    return body


def read_query(text: bytes) -> dict[str, str]:
    """Return the names and values of a query string; reject duplicate names."""
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise BadRequest("The query string is not UTF-8.") from None
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name in parameters:
            raise Unprocessable({name: ["Given more than once."]}, "query")
        parameters[name] = value
    return parameters
