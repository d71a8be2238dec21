"""What came in, read strictly: JSON bodies and query strings."""

import json
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from flask import request
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_accept_header

from app.errors import BadRequest, Unprocessable, UnsupportedMediaType
from app.http.response import GZIP_ETAG_SUFFIX

JSON = "application/json"


@lru_cache(maxsize=256)
def accepts_json(accept: str) -> bool:
    """Return whether a client with this Accept header, which may be empty, accepts JSON."""
    # Parameters, such as the charset that some clients add, mean nothing for JSON.
    kinds = [(kind.partition(";")[0], quality) for kind, quality in parse_accept_header(accept)]
    return not kinds or MIMEAccept(kinds).quality(JSON) > 0


def read_if_match() -> frozenset[str] | None:
    """Return the versions that If-Match accepts; None if it accepts every version.

    None is accepted by a weak ETag. A compressed response has the ETag of its version, and a
    suffix.
    """
    etags = request.if_match
    if not etags or etags.star_tag:
        return None
    return frozenset(etag.removesuffix(GZIP_ETAG_SUFFIX) for etag in etags.as_set())


def read_body() -> Any:
    """Return the JSON of the body: each name once, no NaN, fractions as Decimal."""
    return _read(_exactly)


def read_body_with_floats() -> Any:
    """Return the JSON of the body, read as strictly, with the floats that GraphQL knows."""
    return _read(_as_floats)


def _read(decoder: json.JSONDecoder) -> Any:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, declared as Content-Type: application/json.")
    if request.content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
    try:
        text = read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise BadRequest(f"The body is not JSON: {_reason(error)}.") from None


def read_bytes() -> bytes:
    """Return the body as it came; it can be asked for again."""
    try:
        return _whole()
    except (OSError, ParseException):  # so a broken chunk surfaces under gunicorn
        raise BadRequest("The body could not be read to its end.") from None


def _whole() -> bytes:
    """Read all of it: werkzeug is content with a body that ends early, and cuts a chunked one."""
    body = request.get_data()
    if request.content_length is None:
        if request.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge
    elif len(body) < request.content_length:
        raise BadRequest("The body could not be read to its end.")
    return body


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, ArithmeticError):
        return "it holds a number beyond all bounds"
    return str(error)[:200]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _integer(digits: str) -> int | Decimal:
    # As an int, a negative zero would pass for a zero.
    return int(digits) if digits != "-0" else Decimal(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # Python reads 1e999 as if it were Infinity
        raise OverflowError
    return number


def _decoder(fraction: Callable[[str], Any], integer: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object,
        parse_float=fraction,
        parse_int=integer,
        parse_constant=_no_constant,
    )


_exactly = _decoder(Decimal, _integer)
_as_floats = _decoder(_float, int)


def read_query(text: bytes) -> dict[str, str]:
    """Return the names and values of a query string: UTF-8, each name once."""
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise BadRequest("The query string is not UTF-8.") from None
    _refuse_repeats(name for name, _ in pairs)
    return dict(pairs)


def _refuse_repeats(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Unprocessable({name: ["Given more than once."]}, "query")
        seen.add(name)
