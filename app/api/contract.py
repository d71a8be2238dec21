"""The decorators that declare what a view accepts and returns; app/api/openapi.py documents it."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from http import HTTPStatus
from itertools import repeat
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request
from marshmallow import Schema, fields, missing

from app.api.fields import QuerySchema
from app.api.validation import body_loader, query_loader
from app.auth.guard import READS, client_context
from app.errors import NotAcceptable, Unprocessable
from app.http.accept import JSON, accepts_json
from app.http.preconditions import check_preconditions
from app.http.problems import as_api_error, buffered_problem
from app.http.request import ENVIRON, query_string, read_body, read_query, request_path
from app.http.response import BodyStream, BufferedResponse, Environ
from app.http.route_options import (
    ResponseContract,
    RouteOptions,
    View,
    options_of,
    set_options,
)
from app.json import encode
from app.services import current_services

SERIALIZERS = {
    kind._serialize
    for kind in (fields.Field, fields.String, fields.Number, fields.Boolean, fields.DateTime)
}
"""The serializers whose output is what ``encode`` writes for the same value."""


def arguments(schema: type[Schema]) -> Callable[[View], View]:
    """Validate the query string or the JSON body, and pass it as ``query`` or ``body``.

    A subclass of QuerySchema describes the query string, any other schema the body.
    """
    is_query = issubclass(schema, QuerySchema)
    where = "query" if is_query else "body"
    load_query, load_body = query_loader(schema), body_loader(schema)

    def decorate(view: View) -> View:
        @wraps(view)
        def with_arguments(**path: Any) -> Response:
            loaded = load_query(query_string()) if is_query else load_body(read_body())
            check_field_scopes(options_of(with_arguments), loaded)
            return view(**path, **{where: loaded})

        return set_options(with_arguments, **{where: schema})

    return decorate


def check_field_scopes(options: RouteOptions, names: Iterable[str]) -> None:
    """Raise Forbidden if the key of the client lacks a scope that one of these fields needs."""
    if options.field_scopes:
        client, policy = client_context(ENVIRON.get()).client, current_services().access_policy
        for scope in sorted({options.field_scopes.get(n, str(options.scope)) for n in names}):
            policy.check_scope(client, scope)


def may_write(scope: str) -> bool:
    """Return whether the client of the current request may write what needs ``scope``."""
    client = client_context(ENVIRON.get()).client
    return current_services().access_policy.allows(client, scope)


def response(
    status: int,
    schema: type[Schema] | None,
    *failures: int,
    paged: bool = False,
    location: str | None = None,
    version_etag: bool = False,
    under_asgi: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], View]:
    """Serialize the result of the view as ``schema``: one object, or with ``paged`` a Page.

    Without a schema the response has no body: a 204.
    ``failures`` are the error statuses that this view adds to the common ones. ``location`` is a
    format of the Location, with the object as ``{0}``. With ``version_etag``, the ETag is the
    object's version. ``under_asgi`` are the media types of streams that app/live sends in its
    place. A field that is not required is left out if it is None, but in a Page. Raise
    TypeError for a schema that depends on ``Schema.dump``, which is never called.
    """
    names = [] if schema is None else _checked_names(schema())
    document = document_of(schema) if schema and not paged else lambda page: _page(page, names)
    added = frozenset(map(HTTPStatus, failures))
    contract = ResponseContract(
        HTTPStatus(status), schema, paged, location, version_etag, added, under_asgi=under_asgi
    )

    def decorate(view: Callable[..., Any]) -> View:
        @wraps(view)
        def respond(**arguments: Any) -> Response:
            result = view(**arguments)
            if schema is None:
                empty = Response(status=contract.status)
                del empty.headers["Content-Type"]
                return empty
            response = Response(encode(document(result)), contract.status, mimetype=JSON)
            if under_asgi:
                response.headers["Vary"] = "Accept"
            if paged and result.next_cursor:
                url = _next_page(request_path(), query_string()) + result.next_cursor
                response.headers["Link"] = f'<{url}>; rel="next"'
            if version_etag:
                response.headers["ETag"] = f'"{result.version}"'
            if location is not None:
                response.headers["Location"] = location.format(result)
            return response

        return set_options(respond, response=contract)

    return decorate


def document_of(schema: type[Schema]) -> Callable[[Any], dict[str, Any]]:
    """Return what makes the JSON object of a thing; raise TypeError as ``response`` does."""
    names = _checked_names(schema())
    optional = [name for name, field in schema().dump_fields.items() if not field.required]

    def document(thing: Any) -> dict[str, Any]:
        members = {name: getattr(thing, name) for name in names}
        for name in optional:
            if members[name] is None:
                del members[name]
        return members

    return document


def _checked_names(schema: Schema) -> list[str]:
    """Return the names of the fields of ``schema``; raise TypeError for one that is special."""
    for name, each in schema.dump_fields.items():
        field = each.inner if isinstance(each, fields.List) else each
        if isinstance(field, fields.Nested):
            _checked_names(field.schema)
            continue
        if type(field)._serialize not in SERIALIZERS:
            problem = f"{type(field).__name__} serializes by itself"
        elif field.data_key is not None or field.attribute is not None:
            problem = "data_key and attribute are not supported"
        elif field.dump_default is not missing:
            problem = "dump_default is not supported"
        elif getattr(field, "as_string", False) or getattr(field, "format", "iso") != "iso":
            problem = "as_string and format are not supported"
        else:
            continue
        raise TypeError(
            f"{type(schema).__name__}.{name} cannot be part of a response: {problem}. "
            "Responses are encoded from the attributes of the same names, without Schema.dump."
        )
    return list(schema.dump_fields)


def _page(page: Any, names: list[str]) -> dict[str, Any]:
    total = {} if page.total is None else {"total": page.total}
    return {"items": _items(page, names), "next_cursor": page.next_cursor, **total}


def _items(page: Any, names: list[str]) -> list[dict[str, Any]]:
    """Return the rows as objects with the fields ``names``, which the query selects first.

    marshmallow would call each field of each row, which orjson does not need.
    """
    if not page.items:
        return []
    columns = page.items[0]._fields
    shown = columns[: len(names)]
    if set(shown) != set(names):
        raise TypeError(f"the query selects {columns}, but the schema has {sorted(names)}")
    # zip() ends with ``shown``: some queries also select sort keys.
    return list(map(dict, map(zip, repeat(shown), page.items)))


@lru_cache(maxsize=1_024)
def _next_page(path: str, query: bytes) -> str:
    pairs = [(name, value) for name, value in read_query(query).items() if name != "cursor"]
    return f"{path}?{urlencode([*pairs, ('cursor', '')])}"


def check_request() -> None:
    """Reject what the view of the current request does not declare."""
    view = current_app.view_functions.get(request.endpoint or "")
    if view is not None:
        if (limit := options_of(view).max_body_bytes) is not None:
            request.max_content_length = limit
        check(view, request.environ)


def check(view: Callable[..., Any], environ: Environ) -> None:
    """Reject what ``view`` does not declare: preconditions, query names, media types."""
    options = options_of(view)
    if environ["REQUEST_METHOD"] not in READS:
        check_preconditions(environ, evaluates_if_match=options.evaluates_if_match)
    if options.response is None:
        return
    if options.query is None and (query := query_string()):
        message = "Unknown query parameter: this operation has none."
        unknown = {name: [message] for name in read_query(query)}
        if unknown:
            raise Unprocessable(unknown, "query")
    if not options.response.streams and not accepts_json(environ.get("HTTP_ACCEPT", "")):
        streams = options.response.under_asgi
        more = f": {', '.join(streams)} needs the asgi server" if streams else ""
        raise NotAcceptable(f"This resource is available as {JSON} only{more}.")


def call_read(view: View, arguments: Mapping[str, Any], environ: Environ) -> BufferedResponse:
    """Return the response of a view that reads; needs only the application context of Flask.

    Flask's own way to the view and back costs more than a short query.
    """
    try:
        check(view, environ)
        response = view(**arguments)
    except Exception as error:  # noqa: BLE001 - as Flask: a bug is logged, and answered with 500
        request_id = environ["HTTP_X_REQUEST_ID"]
        return buffered_problem(as_api_error(error, request_id), request_id)
    if isinstance(response.response, BodyStream):
        return BufferedResponse(response.status, list(response.headers), b"", response.response)
    return BufferedResponse(response.status, list(response.headers), response.get_data())
