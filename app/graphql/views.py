"""GraphQL over HTTP: ``POST /graphql`` for queries and mutations, and ``flask graphql-schema``.

As the GraphQL over HTTP specification requires: the status is 200 for everything that was
executed, and for clients without application/graphql-response+json also for request errors.
Requests that are not GraphQL, or that the request guard rejects, get problem documents.
The guard counts each POST as a read. A mutation is counted as a write as well and needs the same
scope as in REST; a missing scope is an error of its field.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import click
from flask import Blueprint, Response, request
from graphql import ExecutionResult, GraphQLSchema, OperationType, print_schema
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.http import parse_accept_header

from app.api.idempotency import KEY_HEADER, respond_once
from app.auth.api_keys import checks_write_access_itself
from app.auth.guard import client_context
from app.errors import ApiError, BadRequest, NotAcceptable
from app.graphql.errors import RequestError, from_failure
from app.graphql.execution import Caller, execute, format_result, is_request_error, prepare
from app.http.instrumentation import REQUEST_ID
from app.http.request import FLOATS, JSON, accepts_json, read_body
from app.json import encode
from app.services import current_services

GRAPHQL_JSON = "application/graphql-response+json"


class GraphQLRequest(NamedTuple):
    """A request as the client sent it."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any]


def create_blueprint(schema: GraphQLSchema) -> Blueprint:
    """Create the route and the command for ``schema``."""
    bp = Blueprint("graphql", __name__, cli_group=None)

    @bp.post("/graphql")
    @checks_write_access_itself
    def graphql() -> Response:
        """Execute a GraphQL query or mutation."""
        media_type = _media_type(request.environ.get("HTTP_ACCEPT", ""))
        return _respond(schema, _parse(read_body(FLOATS)), media_type)

    @bp.after_request
    def never_store(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    @bp.cli.command("graphql-schema")
    def show() -> None:
        """Print the GraphQL schema."""
        click.echo(print_schema(schema))

    return bp


def _media_type(accept: str) -> str:
    """Choose the media type of the response; raise NotAcceptable."""
    accepted = parse_accept_header(accept)
    if GRAPHQL_JSON in {kind.partition(";")[0] for kind, quality in accepted if quality > 0}:
        return GRAPHQL_JSON
    if accepts_json(accept):
        return JSON
    raise NotAcceptable(f"This resource is available as {GRAPHQL_JSON} or {JSON} only.")


def _response(result: ExecutionResult, media_type: str) -> Response:
    body = encode(format_result(result))
    if media_type == JSON:
        return Response(body, HTTPStatus.OK, mimetype=JSON)
    status = HTTPStatus.BAD_REQUEST if is_request_error(result) else HTTPStatus.OK
    return Response(body, status, content_type=f"{GRAPHQL_JSON}; charset=utf-8")


def _parse(body: Any) -> GraphQLRequest:
    """Return the request in a JSON body; raise BadRequest for an invalid one."""
    if isinstance(body, list):
        raise BadRequest("Batches are not supported: send one request at a time.")
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        raise BadRequest('A GraphQL request must be an object with the string "query".')
    for name, kind in (("operationName", str), ("variables", dict), ("extensions", dict)):
        if not isinstance(body.get(name), kind | None):
            raise BadRequest(f'"{name}" of a GraphQL request has the wrong type.')
    return GraphQLRequest(body["query"], body.get("operationName"), body.get("variables") or {})


def _respond(schema: GraphQLSchema, sent: GraphQLRequest, media_type: str) -> Response:
    context = client_context(request.environ)
    request_id = request.headers[REQUEST_ID]
    caller = Caller(context.client, request_id, current_services().access_policy)
    try:
        return _execute(schema, sent, caller, media_type)
    except RequestError as rejected:
        return _response(ExecutionResult(None, rejected.errors), media_type)
    except (ApiError, SQLAlchemyError) as failure:  # of the Idempotency-Key, or of the commit
        error = from_failure(failure, caller.request_id)
        return _response(ExecutionResult(None, [error]), media_type)
    finally:
        if caller.rate_limit_headers:
            context.rate_limit_headers = caller.rate_limit_headers


def _execute(
    schema: GraphQLSchema, sent: GraphQLRequest, caller: Caller, media_type: str
) -> Response:
    may_introspect = caller.may_introspect
    prepared = prepare(schema, sent.query, sent.operation_name, may_introspect=may_introspect)

    def respond() -> tuple[Response, bool]:
        result = execute(schema, prepared, sent.variables, caller)
        return _response(result, media_type), not result.errors

    if prepared.kind is not OperationType.MUTATION or KEY_HEADER not in request.headers:
        return respond()[0]
    return respond_once(respond)
