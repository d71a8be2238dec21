"""GraphQL over HTTP: `POST /graphql` for queries and mutations, and `flask graphql-schema`.

As the draft of that specification has it: 200 for all that could be executed, and for clients
that do not ask for application/graphql-response+json also for what could not. A request that is
none of GraphQL, or that the gate refuses, is a problem document as on every route.
The gate counts each POST as a read; a mutation counts each of its writes besides, and needs the
scopes that REST needs: where it has not, that is an error of its field, with its code.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import click
from flask import Blueprint, Response, current_app, request
from graphql import ExecutionResult, GraphQLSchema, OperationType, print_schema
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.http import parse_accept_header

from app.api.contract import JSON, encode, takes_json
from app.api.idempotency import KEY_HEADER, once_for
from app.auth.api_keys import admits_writes_itself
from app.auth.guard import CLIENT, TOLD
from app.auth.policy import access_to
from app.errors import ApiError, BadRequest, NotAcceptable
from app.graphql.errors import Refused, from_failure
from app.graphql.execution import Caller, execute, prepare, was_refused, written
from app.http import instrumentation as observe
from app.http.request import read_body_with_floats

GRAPHQL_JSON = "application/graphql-response+json"


class Asked(NamedTuple):
    """A request, as it came."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any]


def blueprint(schema: GraphQLSchema) -> Blueprint:
    """Make the route of ``schema``."""
    bp = Blueprint("graphql", __name__, cli_group=None)

    @bp.post("/graphql")
    @admits_writes_itself
    def graphql() -> Response:
        """Answer a request of GraphQL."""
        write = _writer(request.environ.get("HTTP_ACCEPT", ""))
        return _answer(schema, _asked(read_body_with_floats()), write)

    @bp.after_request
    def never_store(answer: Response) -> Response:
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @bp.cli.command("graphql-schema")
    def show() -> None:
        """Print the schema of GraphQL."""
        click.echo(print_schema(schema))

    return bp


Write = Callable[[ExecutionResult], Response]


def _writer(accept: str) -> Write:
    """Choose the kind of answer that the client takes."""
    wanted = parse_accept_header(accept)
    if GRAPHQL_JSON in {kind.partition(";")[0] for kind, quality in wanted if quality > 0}:
        return _write_graphql
    if takes_json(accept):
        return _write_json
    raise NotAcceptable(f"This resource is available as {GRAPHQL_JSON} and {JSON} only.")


def _write_graphql(result: ExecutionResult) -> Response:
    status = HTTPStatus.BAD_REQUEST if was_refused(result) else HTTPStatus.OK
    return Response(encode(written(result)), status, content_type=f"{GRAPHQL_JSON}; charset=utf-8")


def _write_json(result: ExecutionResult) -> Response:
    return Response(encode(written(result)), HTTPStatus.OK, mimetype=JSON)


def _asked(body: Any) -> Asked:
    """Read a request; raise BadRequest for what is none."""
    if isinstance(body, list):
        raise BadRequest("Send one request at a time: batches are not taken.")
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        raise BadRequest('A request of GraphQL is an object with the text "query".')
    for name, kind in (("operationName", str), ("variables", dict), ("extensions", dict)):
        if not isinstance(body.get(name), kind | None):
            raise BadRequest(f'"{name}" of a request of GraphQL is of the wrong kind.')
    return Asked(body["query"], body.get("operationName"), body.get("variables") or {})


def _answer(schema: GraphQLSchema, asked: Asked, write: Write) -> Response:
    environ = request.environ
    caller = Caller(environ[CLIENT], environ[observe.ID], access_to(current_app))
    try:
        return _executed(schema, asked, caller, write)
    except Refused as refused:
        return write(ExecutionResult(None, refused.errors))
    except (ApiError, SQLAlchemyError) as failure:  # of the Idempotency-Key, or of the commit
        return write(ExecutionResult(None, [from_failure(failure, caller.request_id)]))
    finally:
        if caller.told:
            environ[TOLD] = caller.told


def _executed(schema: GraphQLSchema, asked: Asked, caller: Caller, write: Write) -> Response:
    name, introspects = asked.operation_name, caller.introspects
    prepared = prepare(schema, asked.query, name, introspects=introspects)

    def make() -> tuple[Response, bool]:
        result = execute(schema, prepared, asked.variables, context=caller)
        return write(result), not result.errors

    if prepared.kind is not OperationType.MUTATION or KEY_HEADER not in request.headers:
        return make()[0]
    return once_for(make)
