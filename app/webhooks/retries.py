"""When a request that failed is sent again, and when the deliverer gives a webhook up."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FIRST = timedelta(seconds=1)
LONGEST = timedelta(hours=1)
LONGEST_RETRY_AFTER = timedelta(hours=6)
GIVE_UP_AFTER = timedelta(days=3)


def next_attempt_at(
    at: datetime,
    *,
    failing_since: datetime,
    failed_attempts: int,
    retry_after: str | None,
    jitter: float,
) -> datetime | None:
    """Return when to send again after a failure at ``at``; None after GIVE_UP_AFTER.

    The wait doubles with each of the ``failed_attempts`` from FIRST to LONGEST, and is up to half
    as long again by ``jitter``, which is random between 0 and 1. ``retry_after`` is the header of
    the response; it can only make the wait longer.
    """
    end = failing_since + GIVE_UP_AFTER
    if at >= end:
        return None
    doubled = FIRST * (1 << min(failed_attempts - 1, 32))
    wait = min(doubled, LONGEST) * (1 + jitter / 2)
    return min(at + max(wait, _requested_wait(retry_after, at)), end)


def _requested_wait(retry_after: str | None, at: datetime) -> timedelta:
    """Return how long a receiver wants to be left alone; nothing if it does not say so."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), LONGEST_RETRY_AFTER.total_seconds()))
    try:
        until: datetime = parsedate_to_datetime(text)
    except ValueError:
        return timedelta()
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(aware - at, timedelta()), LONGEST_RETRY_AFTER)
