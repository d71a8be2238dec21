"""The decorator of a route that exports a table, and its query parameters."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate
from sqlalchemy.sql import Select

from app.api.fields import QuerySchema
from app.errors import BadRequest, NotAcceptable
from app.events.log import format_cursor
from app.export.formats import FORMATS, GROUPS, Format
from app.export.stream import ExportStream
from app.http.accept import negotiate
from app.http.request import ENVIRON, request_path
from app.http.response import accepts_gzip
from app.http.route_options import ResponseContract, View, set_options
from app.services import current_services

MEDIA_TYPES = {form.media_type: form for form in FORMATS.values()}
UNFRAMED = "HTTP/1.0"


class ExportQuery(QuerySchema):
    """The format of an export."""

    format = fields.String(
        validate=validate.OneOf(list(FORMATS)),
        metadata={"description": "The format. Without it, `Accept` decides; default: `ndjson`."},
    )


def export(schema: type[Schema]) -> Callable[[Callable[..., Any]], View]:
    """Stream the rows of the statement that the view returns for a ``format``.

    ``schema`` describes one object; its fields are the columns of the statement. Columns that are
    named ``stars.1``, ``stars.2`` and come last are one object ``stars`` in NDJSON.
    """
    ok, streams = HTTPStatus.OK, tuple(MEDIA_TYPES)
    contract = ResponseContract(ok, schema, False, None, False, frozenset(), streams)
    names = set(schema().dump_fields)

    def decorate(view: Callable[..., Any]) -> View:
        @wraps(view)
        def respond(query: dict[str, Any]) -> Response:
            statement = view()
            keys = [str(column.key) for column in statement.selected_columns]
            if (columns := {key.partition(GROUPS)[0] for key in keys}) != names:
                raise TypeError(f"the query selects {columns}, but the schema has {names}")
            return _respond(statement, query.get("format"))

        return set_options(respond, response=contract)

    return decorate


def _respond(statement: Select[*tuple[Any, ...]], name: str | None) -> Response:
    environ = ENVIRON.get()
    form = _choose(name, environ.get("HTTP_ACCEPT", ""))
    if environ.get("SERVER_PROTOCOL") == UNFRAMED:
        detail = "An export needs HTTP/1.1: in HTTP/1.0 a client cannot tell whether it is whole."
        raise BadRequest(detail)
    gzip = accepts_gzip(environ)
    stream = ExportStream(current_services(), statement, form, gzip=gzip)
    response = Response(stream, mimetype=form.media_type)
    file_name = f"{request_path().split('/')[1]}.{form.name}"
    response.headers["Content-Disposition"] = f"attachment; filename={file_name}"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Feed-Cursor"] = format_cursor(*stream.cursor)
    response.headers["Vary"] = "Accept, Accept-Encoding"
    if gzip:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _choose(name: str | None, accept: str) -> Format:
    """Return the format of that name, or the one that ``accept`` prefers; raise NotAcceptable."""
    if name is not None:
        return FORMATS[name]
    media_type = negotiate(accept, *MEDIA_TYPES)
    if media_type is None:
        raise NotAcceptable(f"An export is available as {' or '.join(MEDIA_TYPES)}.")
    return MEDIA_TYPES[media_type]
