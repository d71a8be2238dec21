"""Fetch days in parallel, with retries, a shared throttle and time limits."""
