"""How long tests wait for what must happen."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

PATIENCE = 90
"""Seconds after which a test gives up: only a hang exceeds them, however busy the machine is."""


def patient(redis_url: str) -> str:
    """Let the service wait longer for this Redis, as a busy machine may delay a response by 0.1 s.

    Not for a Redis that a test freezes.
    """
    return f"{redis_url}?socket_timeout={PATIENCE}&socket_connect_timeout={PATIENCE}"


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until a condition holds, and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def served(send: Callable[[], Any]) -> Any:
    """Send a request until its response is not a 503, and return that.

    On a busy machine a writer may wait too long for the locks of others: then it writes nothing.
    """

    def response() -> Any:
        received = send()
        return None if received.status_code == HTTPStatus.SERVICE_UNAVAILABLE else received

    return wait_until(response)


def shortest(measure: Callable[[], float], promised: float) -> float:
    """Return the shortest of up to five durations; stop at the first that keeps the promise.

    A busy machine makes some of them too long, a defect makes all of them too long.
    """
    durations: list[float] = []
    while len(durations) < 5 and not (durations and durations[-1] <= promised):
        durations.append(measure())
    return min(durations)
