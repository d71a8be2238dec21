"""The results of an operation on a live connection, and its failures as results."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

from strawberry.types import ExecutionResult

from app.errors import ApiError
from app.graphql.errors import RequestError, from_failure
from app.graphql.execution import Caller
from app.graphql.strawberry_adapter import pre_execution_error

Results = AsyncGenerator[ExecutionResult, None]
RawResults = AsyncGenerator[ExecutionResult | None, None]
"""None: a subscription has begun."""


async def once(result: ExecutionResult) -> Results:
    """Yield one result."""
    yield result


async def prepend(first: ExecutionResult | None, others: RawResults) -> RawResults:
    """Yield ``first``, then the others."""
    async with aclosing(others):
        yield first
        async for result in others:
            yield result


async def report_failures(results: RawResults, caller: Caller) -> Results:
    """Yield the results, and whatever fails as the last one."""
    try:
        async with aclosing(results):
            async for result in results:
                if result is not None:
                    yield result
    except Exception as failure:  # noqa: BLE001 - a bug ends its operation, not the connection
        yield failed(failure, caller)


def failed(failure: Exception, caller: Caller) -> ExecutionResult:
    """Return the result of an operation that failed before or between its events."""
    if isinstance(failure, RequestError):
        return pre_execution_error(failure.errors)
    return pre_execution_error([from_failure(failure, caller.request_id)])


def failed_unless_limited(failure: Exception, caller: Caller) -> ExecutionResult:
    """Return the same; raise ``failure`` if the client exceeds a limit."""
    if isinstance(failure, ApiError) and failure.status is HTTPStatus.TOO_MANY_REQUESTS:
        raise failure
    return failed(failure, caller)
