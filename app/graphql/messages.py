"""Read messages of graphql-transport-ws, so that one operation cannot close the connection."""

import json
import re
from collections.abc import Iterator
from typing import Any

from app.errors import BadRequest
from app.json import FLOATS, InvalidJson, decode


def _ignore(_: Any) -> None:
    """Stand for any number."""


# A string without an end extends to the end of the text: each character is read once.
TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[][{}]|[^][{}"]+', re.DOTALL)
OPENING, CLOSING = frozenset("[{"), frozenset("]}")
# Reads what ``decode`` rejects: objects are tuples of pairs, numbers are None.
LENIENT = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=_ignore, parse_float=_ignore, parse_constant=_ignore
)


def decode_message(text: str) -> object:
    """Read a message; if only the payload of a ``subscribe`` is not valid, it is a BadRequest.

    Raise InvalidJson for any other invalid message.
    """
    try:
        return decode(text, FLOATS)
    except InvalidJson as reason:
        return _blame_operation(text, reason)


def _blame_operation(text: str, reason: InvalidJson) -> dict[str, Any]:
    """Return the ``subscribe`` message whose payload is not valid."""
    try:
        pairs = _decode_leniently(text)
    except ValueError:
        pairs = None
    message = dict(pairs) if isinstance(pairs, tuple) else {}
    if message.get("type") != "subscribe" or pairs is None or len(message) != len(pairs):
        raise reason
    return {**message, "payload": BadRequest(f"The payload is not JSON: {reason}.")}


def _decode_leniently(text: str) -> Any:
    try:
        return LENIENT.decode(text)
    except RecursionError:
        return LENIENT.decode("".join(_outermost(text)))


def _outermost(text: str) -> Iterator[str]:
    """Yield an object with null in the place of the arrays and objects in it."""
    depth = 0
    for token in TOKEN.findall(text):
        depth += token in OPENING
        if depth <= 1:
            yield token
        elif depth == 2 and token in OPENING:  # noqa: PLR2004 - one in the outermost
            yield "null"
        depth -= token in CLOSING
