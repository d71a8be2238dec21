"""Fetching days in parallel: pool, retries, throttle, deadlines, metrics."""
