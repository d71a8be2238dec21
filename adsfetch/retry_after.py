"""Delays in the forms in which servers and client libraries name them."""

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any


def parse_retry_after(value: Any) -> float | None:
    """Return a delay in seconds, at least 0; None for what names no finite delay.

    A delay is a number of any type or as text (``30``, ``1.5``, ``1.5s``), a timedelta, a
    datetime, or a date as in the header Retry-After.
    """
    seconds = None
    with suppress(Exception):  # the value comes from code of others, and is only a hint
        seconds = seconds_of(value)
    if seconds is None or not math.isfinite(seconds):
        return None
    return max(seconds, 0.0)


def seconds_of(value: Any) -> float | None:
    """Return the seconds that a value means; raise any exception for an unknown form."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, bytes):
        value = value.decode("ascii")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return seconds_until(value)
    if isinstance(value, str):
        return seconds_in_text(value.strip())
    return float(value)


def seconds_in_text(text: str) -> float:
    """Return the seconds of a number, or of a date as in an HTTP header."""
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        return seconds_until(parsedate_to_datetime(text))


def seconds_until(moment: datetime) -> float:
    """Return the seconds from now; a moment without a time zone is in UTC, as in HTTP."""
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (zoned - datetime.now(UTC)).total_seconds()
