"""Fetch Google Ads reports by date range, completely and without duplicates.

To read the package, take the modules in this order: errors, sources; fetch/pool, retry,
throttle and isolation; storage/states, store and manifest; plan, run; cli. google/ is the only
part that uses the Google Ads client, and export/ the only one that uses pyarrow and deltalake;
both can be read last.
"""

from adsfetch.errors import (
    AdsError,
    AuthorizationError,
    DayError,
    FatalError,
    LockedError,
    OAuthError,
    QueryError,
    QuotaError,
    RateLimitError,
    SourceDownError,
    StoreError,
    TimeoutError,  # noqa: A004 - a subclass of the builtin
    TransientError,
    UnavailableError,
    UsageError,
)
from adsfetch.fetch.jobs import DayFailure, DayReport
from adsfetch.fetch.pool import fetch_days
from adsfetch.fetch.retry import Retry

__all__ = [
    "AdsError",
    "AuthorizationError",
    "DayError",
    "DayFailure",
    "DayReport",
    "FatalError",
    "LockedError",
    "OAuthError",
    "QueryError",
    "QuotaError",
    "RateLimitError",
    "Retry",
    "SourceDownError",
    "StoreError",
    "TimeoutError",
    "TransientError",
    "UnavailableError",
    "UsageError",
    "fetch_days",
]
