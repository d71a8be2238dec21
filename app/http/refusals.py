"""The metric of what is refused although it is well formed: by which rule or limit."""

from collections.abc import Mapping
from http import HTTPStatus

from prometheus_client import Counter

from app.db.snapshots import TooManyExports
from app.errors import (
    ApiError,
    ContentTooLarge,
    Forbidden,
    ForbiddenOrigin,
    IdempotencyKeyReused,
    OverCapacity,
    PreconditionFailed,
    RequestInProgress,
    RequestTimeout,
    ShuttingDown,
    TooManyOperations,
    TooManyQueries,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)

KINDS: Mapping[type[ApiError], str] = {
    Unauthorized: "unauthorized",
    Forbidden: "forbidden",
    ForbiddenOrigin: "origin",
    RequestTimeout: "timeout",
    RequestInProgress: "in_progress",
    PreconditionFailed: "precondition",
    ContentTooLarge: "too_large",
    IdempotencyKeyReused: "key_reused",
    TooManyRequests: "rate_limit",
    TooManyQueries: "subscriptions",
    TooManyOperations: "subscriptions",
    Unavailable: "database",
    OverCapacity: "busy",
    TooManyExports: "busy",
    ShuttingDown: "shutting_down",
}
"""All other errors are about what the client asked for, and their statuses tell them apart."""
REFUSED = Counter("bookstall_refused_total", "Refused requests and operations", ["kind"])
# All from the start, so that the first refusal of a kind shows as an increase.
_children = {kind: REFUSED.labels(kind) for kind in sorted(set(KINDS.values()))}


def count_refusal(error: ApiError) -> None:
    """Count ``error`` if it is a refusal. Call it once for each that a client is sent."""
    kind = next((KINDS[each] for each in type(error).__mro__ if each in KINDS), None)
    if kind is None and error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # from werkzeug
        kind = KINDS[ContentTooLarge]
    if kind is not None:
        _children[kind].inc()
