"""Bulk requests: many operations on products, each with a result as if it had been sent alone.

A transaction takes up to CHUNK operations. With ``atomic``, for a dry run, and within the
transaction of an Idempotency-Key there is one transaction for all.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.db.errors import is_unavailable, unavailable
from app.errors import ApiError, Conflict, Unavailable
from app.extensions import db
from app.unit_of_work import commit, end_unchanged, is_commit_deferred
from inventory.bulk_batch import Batch, Outcome
from inventory.bulk_schemas import read_operation
from inventory.events import PRODUCT

CHUNK = 1_000
ATTEMPTS = 5
"""How often a chunk is tried while others take the SKUs of its new products."""
Describe = Callable[[ApiError], dict[str, Any]]
"""Returns the problem document of an error."""
Operation = Mapping[str, Any] | ApiError
"""An operation, or why it is invalid."""
Result = Outcome | ApiError


class NotApplied(ApiError):
    """Another operation of the same atomic request was refused."""

    status = HTTPStatus.FAILED_DEPENDENCY


class AtomicRefusal(Conflict):
    """An operation of an atomic request was refused, so none has taken effect."""

    def __init__(self, results: Sequence[dict[str, Any]], refused: int) -> None:
        count = len(results)
        super().__init__(f"Nothing has changed: {refused} of {count} operations are refused.")
        self._results = results

    def members(self) -> dict[str, Any]:
        return {"results": self._results}


def change_products(
    operations: Sequence[Any], *, atomic: bool, dry_run: bool, describe: Describe
) -> SimpleNamespace:
    """Perform ``operations``, and return their ``results`` in the same order.

    Raise AtomicRefusal with the results if ``atomic`` and one is refused. If the database fails
    after the first chunk, the results of the operations that are not done are that failure.
    """
    read = [read_operation(position, row) for position, row in enumerate(operations)]
    is_whole = atomic or dry_run or is_commit_deferred()
    size = len(read) if is_whole else CHUNK
    results: list[Result] = []
    for start in range(0, len(read), size):
        try:
            results += _change(read[start : start + size], atomic=atomic, dry_run=dry_run)
        except (DBAPIError, PoolTimeoutError, Unavailable) as error:
            if not results or not (isinstance(error, Unavailable) or is_unavailable(error)):
                raise
            with suppress(DBAPIError):
                db.session.rollback()
            failure = error if isinstance(error, Unavailable) else unavailable(error)
            results += [failure] * (len(read) - start)
            break
    refused = sum(isinstance(result, ApiError) for result in results)
    if atomic and refused:
        other = NotApplied("Not done, as another operation of this request is refused.")
        results = [each if isinstance(each, ApiError) else other for each in results]
    documents = [_document(result, describe) for result in results]
    if atomic and refused:
        raise AtomicRefusal(documents, refused)
    return SimpleNamespace(results=documents)


def _change(operations: Sequence[Operation], *, atomic: bool, dry_run: bool) -> list[Result]:
    """Perform operations in one transaction, which is left to its owner if it has another one."""
    for _ in range(ATTEMPTS):
        with suppress(IntegrityError), db.session.begin_nested() as savepoint:
            batch = Batch([each for each in operations if not isinstance(each, ApiError)])
            results = [_result(batch, each) for each in operations]
            refused = any(isinstance(each, ApiError) for each in results)
            if dry_run or (atomic and refused):
                tags, events = [], []
                savepoint.rollback()
            else:
                tags, events = batch.write(), batch.events()
            break
    else:
        raise Unavailable("Other requests create products with the same SKUs. Please try again.")
    if tags:
        commit(invalidate=tags, events=events)
    else:
        end_unchanged()
    return results


def _result(batch: Batch, operation: Operation) -> Result:
    if isinstance(operation, ApiError):
        return operation
    try:
        return batch.apply(operation)
    except ApiError as error:
        return error


def _document(result: Result, describe: Describe) -> dict[str, Any]:
    if isinstance(result, ApiError):
        return {"status": result.status.value, "problem": describe(result)}
    status, product, state = result
    if product.state.id is None:  # a dry run
        return {"status": status.value}
    shown = {**PRODUCT(state), "id": product.state.id}
    return {"status": status.value, "product": shown, "etag": state.etag}
