"""GraphQL, whatever the schema and the transport: requests are prepared here, and executed.

Execution is synchronous and wants an app context: an event loop calls it in a thread.
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

from app.auth.policy import Access, Client
from app.errors import Unprocessable
from app.extensions import db
from app.graphql.errors import (
    BAD_REQUEST,
    BAD_USER_INPUT,
    PARSE_FAILED,
    VALIDATION_FAILED,
    Refused,
    coded,
    refusal,
)
from app.graphql.limits import (
    CHARACTERS_MAX,
    COMMENTS_MAX,
    LENGTH_MAX,
    NODES_MAX,
    RULES,
    TOKENS_MAX,
    characters,
    check_bounds,
)
from app.ratelimit.limiter import Headers

PREPARED_MOST = 128
ERRORS_MOST = 20
ELSEWHERE = (
    "Subscribe by graphql-transport-ws at /graphql, or by graphql-sse at /graphql/stream: "
    "one answer cannot hold what is still to come."
)
TOO_LARGE = f"The answer has more than {CHARACTERS_MAX} characters: ask for less of it at once."


@dataclass(frozen=True)
class Prepared:
    """A document that may be executed, and the operation of it that is asked for."""

    document: DocumentNode
    operation: OperationDefinitionNode

    @property
    def kind(self) -> OperationType:
        """Say whether it is a query, a mutation or a subscription."""
        return self.operation.operation

    @property
    def name(self) -> str | None:
        """Return the operation's name, if it has one."""
        return self.operation.name.value if self.operation.name else None


@dataclass
class Caller:
    """Who asks, and by which rules."""

    client: Client
    request_id: str
    access: Access
    told: Headers = ()
    """What the client is to be told of its limit, after a write."""

    @property
    def introspects(self) -> bool:
        """Tell whether the caller may ask for the schema."""
        return self.access.introspects(self.client)

    def admit_write(self, scope: str) -> None:
        """Count a write, and raise an ApiError if it is one too many, or not allowed."""
        self.access.count_write(self.client, self._tell)
        self.access.check_scope(self.client, scope)

    def _tell(self, headers: Headers) -> None:
        self.told = headers


@dataclass
class Execution:
    """What resolvers know of the execution that they are part of: their ``info.context``."""

    caller: Caller | None
    nodes: int = 0

    def ask_for(self, nodes: int) -> None:
        """Count things of a list before they are read; raise Unprocessable if it is too many."""
        self.nodes += nodes
        if self.nodes > NODES_MAX:
            words = f"The lists of this request hold {self.nodes} things; {NODES_MAX} is the most."
            raise Unprocessable({"first": [words]}, "arguments")

    @contextmanager
    def writing(self, scope: str) -> Iterator[None]:
        """Admit a write; one that fails leaves nothing behind for the next."""
        if self.caller is None:
            raise RuntimeError("a mutation needs a caller")
        self.caller.admit_write(scope)
        try:
            yield
        except BaseException:
            db.session.rollback()
            raise


def prepare(
    schema: GraphQLSchema, query: str, operation_name: str | None = None, *, introspects: bool
) -> Prepared:
    """Parse, bound and validate a document; raise Refused. What is sent again is found again."""
    return _prepare(schema, query, operation_name or None, introspects)


@lru_cache(maxsize=PREPARED_MOST)
def _prepare(schema: GraphQLSchema, query: str, name: str | None, introspects: bool) -> Prepared:
    document = _parse(query)
    check_bounds(document, introspects=introspects)
    errors = validate(schema, document, RULES, ERRORS_MOST, hide_suggestions=not introspects)
    if errors:
        raise Refused(*(refusal(error.message, VALIDATION_FAILED, error) for error in errors))
    operation = get_operation_ast(document, name)
    if operation is None:
        words = "Name one of the operations of this document as operationName."
        raise Refused(refusal(words, VALIDATION_FAILED))
    return Prepared(document, operation)


def _parse(query: str) -> DocumentNode:
    try:
        return parse(
            query,
            max_lexical_tokens=TOKENS_MAX,
            max_comments=COMMENTS_MAX,
            max_source_length=LENGTH_MAX,
        )
    except GraphQLError as error:
        raise Refused(refusal(error.message, PARSE_FAILED, error)) from None


def execute(
    schema: GraphQLSchema,
    prepared: Prepared,
    variables: Mapping[str, Any] | None = None,
    root: Any = None,
    context: Caller | None = None,
) -> ExecutionResult:
    """Execute an operation; of a subscription the one event ``root``.

    Every error has its code; ``written`` makes an answer of the result.
    """
    if prepared.kind is OperationType.SUBSCRIPTION and root is None:
        return ExecutionResult(None, [refusal(ELSEWHERE, BAD_REQUEST)])
    result = execute_sync(
        schema,
        prepared.document,
        root,
        Execution(context),
        dict(variables or {}),
        prepared.name,
        hide_suggestions=context is not None and not context.introspects,
    )
    if characters(result.data) > CHARACTERS_MAX:
        return ExecutionResult(None, [refusal(TOO_LARGE, BAD_USER_INPUT)])
    asked = context.request_id if context else ""
    errors = [coded(error, asked) for error in result.errors or ()]
    return ExecutionResult(result.data, errors or None)


def written(result: ExecutionResult) -> dict[str, Any]:
    """Return the members of an answer; without ``data`` where nothing was executed."""
    errors = [error.formatted for error in result.errors or ()]
    if not errors:
        return {"data": result.data}
    return {"errors": errors} if was_refused(result) else {"errors": errors, "data": result.data}


def was_refused(result: ExecutionResult) -> bool:
    """Tell whether the request failed before any field was asked."""
    errors = result.errors or []
    return bool(errors) and result.data is None and all(error.path is None for error in errors)
