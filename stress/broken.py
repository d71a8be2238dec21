"""The service with one part broken on purpose, to prove that the checkers find it.

gunicorn loads it as ``stress.broken:load('wsgi', 'forget')``.
"""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from app.cache import response_cache
from app.cache.lease import CacheLease
from app.cache.response_cache import ResponseCache
from app.live import hub
from app.live.hub import RingBuffer
from app.redis import client


def application(module: str, broken: str | None) -> str:
    """Return the application for gunicorn: ``app`` of ``module``, broken if that is wanted."""
    return f"{__name__}:load('{module}', '{broken}')" if broken else f"{module}:app"


def load(module: str, broken: str) -> Any:
    """Break the service, then return ``app`` of ``module``."""
    {**BROKEN_CACHE, **BROKEN_SUBSCRIPTIONS}[broken]()
    return import_module(module).app


def replace(owner: Any, name: str, value: object) -> None:
    """Replace an attribute of a module or class; raise AttributeError if it does not exist."""
    getattr(owner, name)
    setattr(owner, name, value)


def _do_nothing(*_: Any) -> None:
    pass


def _constant_run_id(_: Any) -> str:
    return "constant"


def _forget_guards() -> None:
    store = ResponseCache.set

    def store_late(*arguments: Any) -> str:
        time.sleep(0.05)  # a view that takes long after its query
        return store(*arguments)

    replace(ResponseCache, "set", store_late)
    replace(response_cache, "is_unchanged", lambda *_: True)


def _ignore_cursor(_: str, ring: RingBuffer) -> int:
    return ring.position


def _repeat_event_of_cursor(after: str, _: RingBuffer) -> int:
    return max(0, int(after.partition("-")[2]) - 1)


def _reverse_missed_events() -> None:
    since = RingBuffer.since

    def reversed_since(self: RingBuffer, position: int, topic: str | None) -> Any:
        events = since(self, position, topic)
        return events and events[::-1]

    replace(RingBuffer, "since", reversed_since)


BROKEN_CACHE: Mapping[str, Callable[[], None]] = {
    # Invalidations are not sent.
    "forget": lambda: replace(ResponseCache, "invalidate", _do_nothing),
    # The outbox is not read before the cache is used.
    "lease": lambda: replace(CacheLease, "ensure", _do_nothing),
    # A write between a query and the reading of its fine versions goes unnoticed.
    "fine": _forget_guards,
    # Data of a Redis that restarted with an old snapshot is trusted.
    "run-id": lambda: replace(client, "run_id_of", _constant_run_id),
}
BROKEN_SUBSCRIPTIONS: Mapping[str, Callable[[], None]] = {
    # The cursor to resume from is ignored.
    "after": lambda: replace(hub, "_position", _ignore_cursor),
    # The event of the cursor is sent again.
    "repeat": lambda: replace(hub, "_position", _repeat_event_of_cursor),
    # Missed events are sent in reverse order.
    "swap": _reverse_missed_events,
}
