"""GraphQL over HTTP: ``POST /graphql`` for queries and mutations, and ``flask graphql-schema``.

As the GraphQL over HTTP specification requires: the status is 200 for everything that was
executed, and for clients without application/graphql-response+json also for request errors.
Requests that are not GraphQL, or that the request guard rejects, get problem documents.
The guard counts each POST as a read. A mutation is counted as a write as well and needs the same
scope as in REST; a missing scope is an error of its field.
"""

from http import HTTPStatus

import click
from flask import Blueprint, Response, request
from graphql import ExecutionResult, GraphQLSchema, OperationType, print_schema
from sqlalchemy.exc import SQLAlchemyError

from app.api.idempotency import KEY_HEADER, respond_once
from app.auth.api_keys import checks_write_access_itself
from app.auth.guard import client_context
from app.errors import ApiError, NotAcceptable
from app.graphql.errors import RequestError, from_failure
from app.graphql.execution import Caller, execute, format_result, is_request_error, prepare
from app.graphql.request import GraphQLRequest, parse_request
from app.http.accept import JSON, negotiate
from app.http.instrumentation import REQUEST_ID
from app.http.request import read_body
from app.json import FLOATS, encode
from app.services import current_services

GRAPHQL_JSON = "application/graphql-response+json"


def create_blueprint(schema: GraphQLSchema) -> Blueprint:
    """Create the route and the command for ``schema``."""
    bp = Blueprint("graphql", __name__, cli_group=None)

    @bp.post("/graphql")
    @checks_write_access_itself
    def graphql() -> Response:
        """Execute a GraphQL query or mutation."""
        media_type = negotiate(request.environ.get("HTTP_ACCEPT", ""), GRAPHQL_JSON, JSON)
        if media_type is None:
            raise NotAcceptable(f"This resource is available as {GRAPHQL_JSON} or {JSON} only.")
        return _respond(schema, parse_request(read_body(FLOATS)), media_type)

    @bp.after_request
    def never_store(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    @bp.cli.command("graphql-schema")
    def show() -> None:
        """Print the GraphQL schema."""
        click.echo(print_schema(schema))

    return bp


def _response(result: ExecutionResult, media_type: str) -> Response:
    body = encode(format_result(result))
    if media_type == JSON:
        return Response(body, HTTPStatus.OK, mimetype=JSON)
    status = HTTPStatus.BAD_REQUEST if is_request_error(result) else HTTPStatus.OK
    return Response(body, status, content_type=f"{GRAPHQL_JSON}; charset=utf-8")


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
