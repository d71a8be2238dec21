"""Keyset cursors: opaque, signed, and bound to the list and the filters that they come from.

Of the list that a request's path and query ask for, unless the list has a name of its own.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from flask import request
from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from sqlalchemy import Row
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import BadRequest
from app.services import current_services

Key = InstrumentedAttribute[Any]
PAGING = frozenset({"limit", "cursor", "include_total"})


def encode_cursor(row: Row[*tuple[Any, ...]], keys: Sequence[Key], named: str | None = None) -> str:
    """Write the place of ``row`` in the order of ``keys``, for the list ``named`` so."""
    plain = [_plain(row._mapping[key.key]) for key in keys]
    return _signer(named).sign(base64_encode(orjson.dumps(plain))).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def decode_cursor(cursor: str, keys: Sequence[Key], named: str | None = None) -> list[Any]:
    """Return the values of ``keys`` that ``encode_cursor`` wrote; raise BadRequest for any other text."""
    try:
        plain = orjson.loads(base64_decode(_signer(named).unsign(cursor)))
    except (BadData, ValueError):  # half a character too, which JSON can hold
        raise BadRequest("The cursor does not belong to this list with these filters.") from None
    return [_typed(key, value) for key, value in zip(keys, plain, strict=True)]


def _typed(key: Key, value: Any) -> Any:
    kind = key.type.python_type
    if kind is datetime:
        return datetime.fromisoformat(value)
    return Decimal(value) if kind is Decimal else value


def _signer(named: str | None) -> Signer:
    key = current_services().settings.secret_key
    if named is not None:
        return _signer_named(key, named)
    return _signer_of(key, request.path, request.query_string)


@lru_cache(maxsize=256)
def _signer_named(key: str, name: str) -> Signer:
    """Sign for the list of this name: no path is like it, as those begin with a slash."""
    return Signer(key, salt=f"cursor of {name}")


@lru_cache(maxsize=256)
def _signer_of(key: str, path: str, query: bytes) -> Signer:
    """Sign for this path and these filters alone: elsewhere the signature does not hold."""
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True)
    filters = sorted((name, value) for name, value in pairs if name not in PAGING)
    return Signer(key, salt=f"cursor {path}?{urlencode(filters)}")
