"""Fetch days in parallel, with retries, a shared throttle and time limits."""

from adsfetch.fetch.pool import DayFailure, DayReport, Outcome, fetch_days
from adsfetch.fetch.retry import Retry

__all__ = ["DayFailure", "DayReport", "Outcome", "Retry", "fetch_days"]
