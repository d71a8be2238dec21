"""Requests that tests of the rate limits send and count."""

from bisect import bisect_right
from typing import Any

from flask.testing import FlaskClient

Span = tuple[float, float]
"""When a request began and ended, in seconds."""


def statuses(client: FlaskClient, times: int, path: str = "/books", **options: Any) -> list[int]:
    return [client.get(path, **options).status_code for _ in range(times)]


def count_admitted(client: FlaskClient, times: int = 15, **options: Any) -> int:
    received = statuses(client, times, **options)
    assert set(received) <= {200, 429}
    return received.count(200)


def most_in_any_window(spans: list[Span], seconds: float) -> int:
    """Count the requests that certainly lie in one window, for the window with the most."""
    most = 0
    for begin, _ in spans:
        ends = sorted(end for start, end in spans if start >= begin)
        most = max(most, bisect_right(ends, begin + seconds))
    return most
