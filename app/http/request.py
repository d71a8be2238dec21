"""Strict parsing of requests: JSON bodies, query strings, Accept and If-Match."""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_accept_header

from app.errors import BadRequest, Unprocessable, UnsupportedMediaType
from app.http.response import GZIP_ETAG_SUFFIX

JSON = "application/json"
READ_ERRORS: tuple[type[Exception], ...] = (OSError,)
with suppress(ImportError):  # another server can run the application too
    from gunicorn.http.errors import ParseException

    READ_ERRORS += (ParseException,)  # for an invalid chunk


@lru_cache(maxsize=256)
def accepts_json(accept: str) -> bool:
    """Return whether a client with this Accept header, which may be empty, accepts JSON."""
    # Parameters, such as the charset that some clients add, mean nothing for JSON.
    kinds = [(kind.partition(";")[0], quality) for kind, quality in parse_accept_header(accept)]
    return not kinds or MIMEAccept(kinds).quality(JSON) > 0


def read_if_match() -> frozenset[str] | None:
    """Return the versions that If-Match accepts; None if it accepts every version.

    A weak ETag accepts no version. The ETag of a compressed response is its version and a suffix.
    """
    etags = request.if_match
    if not etags or etags.star_tag:
        return None
    versions = filter(None, etags.as_set())  # an empty ETag is None there
    return frozenset(version.removesuffix(GZIP_ETAG_SUFFIX) for version in versions)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a duplicate name")
    return members


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int | Decimal:
    # As an int, -0 would be accepted as 0.
    return int(digits) if digits != "-0" else Decimal(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # from 1e999, for example
        raise OverflowError
    return number


def _decoder(fraction: Callable[[str], Any], integer: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object,
        parse_float=fraction,
        parse_int=integer,
        parse_constant=_reject_constant,
    )


DECIMALS = _decoder(Decimal, _integer)
"""Reads fractions as Decimal; rejects duplicate names and NaN."""
FLOATS = _decoder(_float, int)
"""Reads fractions as float; equally strict."""


def read_body(decoder: json.JSONDecoder = DECIMALS) -> Any:
    """Return the JSON of the body."""
    if request.mimetype != JSON:
        raise UnsupportedMediaType("Send JSON, declared as Content-Type: application/json.")
    if request.content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    try:
        text = read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise BadRequest(f"The body is not JSON: {_reason(error)}.") from None


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


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ArithmeticError):
        return "it contains a number that is too large"
    return str(error)[:200]


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
