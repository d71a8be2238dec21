"""What checks a query string or a body against a schema, with all its errors in one problem."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from marshmallow import Schema, ValidationError

from app.api.fields import create_loader
from app.errors import Unprocessable
from app.http.request import read_query


def query_loader(schema: type[Schema]) -> Callable[[bytes], dict[str, Any]]:
    """Return what reads a query string; it raises Unprocessable."""
    load = _loader(schema, "query")

    # Clients send the same few query strings again and again.
    @lru_cache(maxsize=1_024)
    def load_query(query: bytes) -> dict[str, Any]:
        return load(read_query(query))

    return lambda query: dict(load_query(query))


def body_loader(schema: type[Schema]) -> Callable[[Any], dict[str, Any]]:
    """Return what reads the JSON value of a body; it raises Unprocessable."""
    return _loader(schema, "body")


def _loader(schema: type[Schema], where: str) -> Callable[[Any], dict[str, Any]]:
    loader = create_loader(schema)

    def load(sent: Any) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = loader.load(sent)
        except ValidationError as error:
            raise Unprocessable(_in_order(error, loader), where) from None
        return loaded

    return load


def _in_order(error: ValidationError, loader: Schema) -> dict[Any, Any]:
    """Return the messages for known fields, then for unknown ones in the order of the request.

    marshmallow collects unknown names in a set, and only the first errors are listed.
    """
    messages = error.messages_dict
    sent = error.data if isinstance(error.data, Mapping) else ()
    names = dict.fromkeys([*loader.fields, *sent, *messages])
    return {name: messages[name] for name in names if name in messages}
