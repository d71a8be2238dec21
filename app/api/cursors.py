"""Keyset cursors: opaque and signed, valid only for the list and the filters they were made for.

The list is identified by its name, if it has one, else by the path and the query of the request.
A cursor contains a digest of that, so that a cursor of another list can be told from one that was
signed with another key.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import orjson
from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from sqlalchemy.orm import InstrumentedAttribute

from app.db.reads import Row
from app.errors import BadRequest
from app.http.request import query_string, read_query, request_path
from app.json import encode
from app.services import current_services

Key = InstrumentedAttribute[Any]
FOREIGN = (
    "This is not a cursor that this service has made with its present SECRET_KEY. "
    "Start again from the first page."
)
ANOTHER_LIST = (
    "This cursor belongs to another list, or to other filters or another order of this one. "
    "Start again from the first page."
)
PAGE_PARAMETERS = frozenset({"limit", "cursor", "include_total"})


def encode_cursor(row: Row, keys: Sequence[Key], list_name: str | None = None) -> str:
    """Return a cursor to the position of ``row`` in a list that is sorted by ``keys``."""
    values = [getattr(row, key.key) for key in keys]
    return _signer().sign(base64_encode(encode([_list_digest(list_name), *values]))).decode()


def decode_cursor(cursor: str, keys: Sequence[Key], list_name: str | None = None) -> list[Any]:
    """Return the values of ``keys`` in the cursor; raise BadRequest if it is not valid here."""
    try:
        payload = _signer().unsign(cursor)
        # Decoding base64 ignores what does not belong to it.
        if _signer().sign(payload) != cursor.encode():
            raise BadRequest(FOREIGN)
        digest, *values = orjson.loads(base64_decode(payload))
    except (BadData, ValueError):  # ValueError: a lone surrogate, which JSON strings can contain
        raise BadRequest(FOREIGN) from None
    if digest != _list_digest(list_name):
        raise BadRequest(ANOTHER_LIST)
    return [_from_json(key, value) for key, value in zip(keys, values, strict=True)]


def _from_json(key: Key, value: Any) -> Any:
    python_type = key.type.python_type
    if value is None:  # a key that sorts its row after all others
        return None
    if python_type is datetime:
        return datetime.fromisoformat(value)
    return Decimal(value) if python_type is Decimal else value


def _signer() -> Signer:
    return _signer_with(current_services().settings.secret_key)


@lru_cache(maxsize=8)
def _signer_with(secret_key: str) -> Signer:
    # Derived once: a Signer derives its key for each signature.
    derived = Signer(secret_key, salt="cursor of a list").derive_key()
    return Signer(derived, key_derivation="none")


def _list_digest(list_name: str | None) -> str:
    # A name never equals a path, which begins with a slash.
    identity = list_name or _list_of_request(request_path(), query_string())
    return _digest(identity)


@lru_cache(maxsize=256)
def _digest(identity: str) -> str:
    return hashlib.blake2b(identity.encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=256)
def _list_of_request(path: str, query: bytes) -> str:
    pairs = sorted(read_query(query).items())
    filters = [(name, value) for name, value in pairs if name not in PAGE_PARAMETERS]
    return f"{path}?{urlencode(filters)}"
