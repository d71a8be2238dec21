"""A GraphQL request, as a body, a query string or a WebSocket message carries it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.errors import BadRequest
from app.http.request import read_query
from app.json import FLOATS, InvalidJson, decode

TYPES = (("operationName", str), ("variables", dict), ("extensions", dict))


class GraphQLRequest(NamedTuple):
    """A request as the client sent it."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any]


def parse_request(sent: Any) -> GraphQLRequest:
    """Return the request in a JSON document; raise BadRequest for an invalid one."""
    if isinstance(sent, list):
        raise BadRequest("Batches are not supported: send one request at a time.")
    if not isinstance(sent, dict) or not isinstance(sent.get("query"), str):
        raise BadRequest('A GraphQL request must be an object with the string "query".')
    for name, kind in TYPES:
        if not isinstance(sent.get(name), kind | None):
            raise BadRequest(f'"{name}" of a GraphQL request has the wrong type.')
    return GraphQLRequest(sent["query"], sent.get("operationName"), sent.get("variables") or {})


def parse_query_string(text: bytes) -> GraphQLRequest:
    """Return the request in a query string, whose variables and extensions are JSON."""
    sent: dict[str, Any] = {**read_query(text)}
    for name in ("variables", "extensions"):
        try:
            sent[name] = decode(sent[name], FLOATS) if sent.get(name) else None
        except InvalidJson as error:
            raise BadRequest(f'The parameter "{name}" is not JSON: {error}.') from None
    return parse_request(sent)
