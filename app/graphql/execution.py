"""Prepare and execute GraphQL requests, for any schema and transport.

Execution is synchronous and needs an app context; an event loop calls it in a thread.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)

from app.auth.policy import AccessPolicy, Client
from app.errors import Unprocessable
from app.extensions import db
from app.graphql.errors import (
    BAD_REQUEST,
    BAD_USER_INPUT,
    PARSE_FAILED,
    VALIDATION_FAILED,
    RequestError,
    request_error,
    with_code,
)
from app.graphql.limits import (
    MAX_CHARACTERS,
    MAX_COMMENTS,
    MAX_LENGTH,
    MAX_NODES,
    MAX_TOKENS,
    RULES,
    check_limits,
    count_characters,
)
from app.ratelimit.limiter import Headers

MAX_PREPARED = 128
MAX_ERRORS = 20
SUBSCRIBE_ELSEWHERE = (
    "Subscriptions need graphql-transport-ws at /graphql or graphql-sse at /graphql/stream."
)
RESPONSE_TOO_LARGE = f"The response has more than {MAX_CHARACTERS} characters; request less."


@dataclass(frozen=True)
class Prepared:
    """A valid document, and the requested operation in it."""

    document: DocumentNode
    operation: OperationDefinitionNode

    @property
    def kind(self) -> OperationType:
        """Return whether it is a query, a mutation or a subscription."""
        return self.operation.operation

    @property
    def name(self) -> str | None:
        return self.operation.name.value if self.operation.name else None


@dataclass
class Caller:
    """The client of a request, and the policy that applies to it."""

    client: Client
    request_id: str
    policy: AccessPolicy
    rate_limit_headers: Headers = ()
    """Set by a write."""

    @property
    def may_introspect(self) -> bool:
        return self.policy.may_introspect(self.client)

    def authorize_write(self, *scopes: str) -> None:
        """Count a write; raise ApiError if it exceeds the limit or the key lacks a scope."""
        self.policy.count_write(self.client, self._store_headers)
        for scope in scopes:
            self.policy.check_scope(self.client, scope)

    def _store_headers(self, headers: Headers) -> None:
        self.rate_limit_headers = headers


@dataclass
class Execution:
    """The state of one execution: resolvers get it as ``info.context``."""

    caller: Caller
    nodes: int = 0

    def charge_nodes(self, nodes: int) -> None:
        """Count the items of a list before they are read; raise Unprocessable beyond the limit."""
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            detail = f"The lists request {self.nodes} items in total; the maximum is {MAX_NODES}."
            raise Unprocessable({"first": [detail]}, "arguments")

    def may_write(self, scope: str) -> bool:
        """Return whether the client may write what needs ``scope``."""
        return self.caller.policy.allows(self.caller.client, scope)

    @contextmanager
    def writing(self, *scopes: str) -> Iterator[None]:
        """Authorize a write that needs all of ``scopes``, and roll back if the block fails."""
        self.caller.authorize_write(*scopes)
        try:
            yield
        except BaseException:
            db.session.rollback()
            raise


def prepare(
    schema: GraphQLSchema, query: str, operation_name: str | None = None, *, may_introspect: bool
) -> Prepared:
    """Parse and validate a document, with caching; raise RequestError."""
    return _prepare(schema, query, operation_name or None, may_introspect)


@lru_cache(maxsize=MAX_PREPARED)
def _prepare(schema: GraphQLSchema, query: str, name: str | None, may_introspect: bool) -> Prepared:
    document = _parse(query)
    check_limits(document, may_introspect=may_introspect)
    errors = validate(schema, document, RULES, MAX_ERRORS, hide_suggestions=not may_introspect)
    if errors:
        raise RequestError(
            *(request_error(error.message, VALIDATION_FAILED, error) for error in errors)
        )
    operation = get_operation_ast(document, name)
    if operation is None:
        detail = "operationName must name one of the operations in this document."
        raise RequestError(request_error(detail, VALIDATION_FAILED))
    return Prepared(document, operation)


def _parse(query: str) -> DocumentNode:
    try:
        return parse(
            query,
            max_lexical_tokens=MAX_TOKENS,
            max_comments=MAX_COMMENTS,
            max_source_length=MAX_LENGTH,
        )
    except GraphQLError as error:
        raise RequestError(request_error(error.message, PARSE_FAILED, error)) from None


def execute(
    schema: GraphQLSchema,
    prepared: Prepared,
    variables: Mapping[str, Any] | None,
    caller: Caller,
) -> ExecutionResult:
    """Execute a query or a mutation; every error has its code."""
    if prepared.kind is OperationType.SUBSCRIPTION:
        return ExecutionResult(None, [request_error(SUBSCRIBE_ELSEWHERE, BAD_REQUEST)])
    result = execute_sync(
        schema,
        prepared.document,
        context_value=Execution(caller),
        variable_values=dict(variables or {}),
        operation_name=prepared.name,
        hide_suggestions=not caller.may_introspect,
    )
    if count_characters(result.data) > MAX_CHARACTERS:
        return ExecutionResult(None, [request_error(RESPONSE_TOO_LARGE, BAD_USER_INPUT)])
    errors = [with_code(error, caller.request_id) for error in result.errors or ()]
    return ExecutionResult(result.data, errors or None)


def format_result(result: ExecutionResult) -> dict[str, Any]:
    """Return the members of the response, without ``data`` if nothing was executed."""
    errors = [error.formatted for error in result.errors or ()]
    data = {} if is_request_error(result) else {"data": result.data}
    return {"errors": errors, **data} if errors else data


def is_request_error(result: ExecutionResult) -> bool:
    """Return whether the request failed before any field was executed."""
    errors = result.errors or []
    return bool(errors) and result.data is None and all(error.path is None for error in errors)
