"""Google Ads reports by date range: complete, and never twice."""

from adsfetch.errors import (
    AdsError,
    AuthorizationError,
    DayError,
    FatalError,
    OAuthError,
    QueryError,
    QuotaError,
    RateLimitError,
    StoreError,
    TimeoutError,  # noqa: A004 - also the builtin's kind
    TransientError,
    UsageError,
)
from adsfetch.fetch.outcome import DayFailure, DayReport
from adsfetch.fetch.pool import fetch_days
from adsfetch.fetch.retry import Retry

__all__ = [
    "AdsError",
    "AuthorizationError",
    "DayError",
    "DayFailure",
    "DayReport",
    "FatalError",
    "OAuthError",
    "QueryError",
    "QuotaError",
    "RateLimitError",
    "Retry",
    "StoreError",
    "TimeoutError",
    "TransientError",
    "UsageError",
    "fetch_days",
]
