"""What a view accepts and returns, said once: checked here, read back by app/api/openapi.py."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, wraps
from http import HTTPStatus
from itertools import repeat
from typing import Any, cast
from urllib.parse import urlencode

from flask import Flask, Response, current_app, request
from marshmallow import Schema, ValidationError

from app.api.fields import QuerySchema
from app.errors import NotAcceptable, Unprocessable
from app.http.request import JSON, accepts_json, read_body, read_query
from app.http.route_options import ResponseContract, View, options_of, set_options
from app.json import encode


def arguments(schema: type[Schema]) -> Callable[[View], View]:
    """Load ``schema`` and give it to the view as ``query`` or, for any other schema, ``body``."""
    name = "query" if issubclass(schema, QuerySchema) else "body"
    load = _query_loader(schema()) if name == "query" else _body_loader(schema())

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(**path: Any) -> Response:
            try:
                loaded = load()
            except ValidationError as error:
                raise Unprocessable(_messages(error), name) from None
            return view(**path, **{name: loaded})

        options = options_of(view)
        declared = (
            replace(options, query=schema) if name == "query" else replace(options, body=schema)
        )
        set_options(checked, declared)
        return checked

    return decorate


def _body_loader(schema: Schema) -> Callable[[], Any]:
    return lambda: schema.load(read_body())


def _query_loader(schema: Schema) -> Callable[[], Any]:
    """Load each query string once: shops ask the same few again and again."""

    @lru_cache(maxsize=1_024)
    def load(text: bytes) -> dict[str, Any]:
        return cast(dict[str, Any], schema.load(read_query(text)))

    return lambda: dict(load(request.query_string))


def response(
    status: int,
    schema: type[Schema],
    *failures: int,
    paged: bool = False,
    sets_location: bool = False,
    version_etag: bool = False,
) -> Callable[[Callable[..., Any]], View]:
    """Write what the view returns as ``schema``: one thing, or with ``paged`` a page of them.

    ``failures`` are the statuses that the rules of this view add to those of every view;
    ``sets_location`` says that the new thing stands at this path and its id, ``version_etag`` that its
    version is its ETag.
    """
    known = frozenset(map(HTTPStatus, failures))
    contract = ResponseContract(
        HTTPStatus(status), schema, paged, sets_location, version_etag, known
    )
    write = _page_writer(schema) if paged else _writer(schema)

    def decorate(view: Callable[..., Any]) -> View:
        @wraps(view)
        def answered(**arguments: Any) -> Response:
            result = view(**arguments)
            answer = Response(write(result), contract.status, mimetype=JSON)
            if paged and result.next_cursor:
                answer.headers["Link"] = _next_link(result.next_cursor)
            if version_etag:
                answer.headers["ETag"] = f'"{result.version}"'
            if sets_location:
                answer.headers["Location"] = f"{request.path}/{result.id}"
            return answer

        set_options(answered, replace(options_of(view), response=contract))
        return answered

    return decorate


def _messages(error: ValidationError) -> Mapping[Any, Any]:
    found = error.messages
    return found if isinstance(found, Mapping) else {"_schema": found}


def _writer(schema: type[Schema]) -> Callable[[Any], bytes]:
    dump = _dumper(schema)
    return lambda thing: encode(dump(thing))


def _page_writer(schema: type[Schema]) -> Callable[[Any], bytes]:
    names = set(schema().dump_fields)

    def write(page: Any) -> bytes:
        total = {} if page.total is None else {"total": page.total}
        return encode({"items": _items(page, names), "next_cursor": page.next_cursor, **total})

    return write


def _items(page: Any, names: set[str]) -> list[dict[str, Any]]:
    """Name the columns of the rows, and keep those that are fields of the schema.

    marshmallow would call each field of each row; what our rows hold, orjson writes by itself.
    """
    if not page.items:
        return []
    columns = [str(name) for name in page.items[0]._fields]
    if set(columns) == names:
        return list(map(dict, map(zip, repeat(columns), page.items)))
    if not names <= set(columns):
        raise TypeError(f"the query gives {columns}, and the contract asks for {names}")
    # Keys of the order that are nobody's business come after the fields.
    return [
        {column: value for column, value in zip(columns, row, strict=True) if column in names}
        for row in page.items
    ]


def _dumper(schema: type[Schema]) -> Callable[[Any], dict[str, Any]]:
    """Take the fields of ``schema`` off a row or a model."""
    names = list(schema().dump_fields)
    return lambda thing: {name: getattr(thing, name) for name in names}


def _next_link(cursor: str) -> str:
    return f'<{_next_page(request.path, request.query_string)}{cursor}>; rel="next"'


@lru_cache(maxsize=1_024)
def _next_page(path: str, query: bytes) -> str:
    pairs = [(name, value) for name, value in read_query(query).items() if name != "cursor"]
    return f"{path}?{urlencode([*pairs, ('cursor', '')])}"


def check_request() -> None:
    """Refuse what no view could answer: other media types, and query names that nobody takes."""
    options = options_of(current_app.view_functions.get(request.endpoint or ""))
    if options.response is None:
        return
    if request.query_string and options.query is None:
        needless = {name: ["Unknown name."] for name in read_query(request.query_string)}
        if needless:
            raise Unprocessable(needless, "query")
    if not accepts_json(request.environ.get("HTTP_ACCEPT", "")):
        raise NotAcceptable(f"This resource is available as {JSON} only.")


def init_app(app: Flask) -> None:
    """Check every request against its view's contract."""
    app.before_request(check_request)
