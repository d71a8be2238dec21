"""The service with one part broken on purpose, to prove that the checkers find it.

gunicorn loads it as ``stress.broken:load('wsgi', 'forget')``.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from app import unit_of_work
from app.cache import outbox, response_cache, self_check
from app.cache.change_log import ChangeLog
from app.cache.lease import CacheLease
from app.cache.local_cache import LocalCache
from app.cache.response_cache import CachedResponse, ResponseCache
from app.db import replica
from app.events import log as event_log
from app.events.log import Event
from app.extensions import db
from app.live import hub
from app.live.hub import RingBuffer
from app.redis import client
from app.services import current_services
from app.unit_of_work import PendingWrite
from stress.attributes import replace
from stress.broken_rules import BROKEN_RULES

CHECK_HITS = "check-hits"
QUERY_SECONDS = 0.05
"""How long a query or a commit takes here, so that others fall into it."""


def application(module: str, broken: str | None, *, check_hits: bool = False) -> str:
    """Return the application for gunicorn: ``app`` of ``module``, broken if that is wanted.

    With ``check_hits`` the self-check of the cache is to compare each hit, not one in a thousand.
    """
    changes = [*([CHECK_HITS] if check_hits else []), *([broken] if broken else [])]
    return f"{__name__}:load('{module}', '{' '.join(changes)}')" if changes else f"{module}:app"


def load(module: str, changes: str) -> Any:
    """Make ``changes`` to the service, then return ``app`` of ``module``."""
    known = {**BROKEN_CACHE, **BROKEN_RULES, **BROKEN_SUBSCRIPTIONS, CHECK_HITS: _check_every_hit}
    for change in changes.split():
        known[change]()
    return import_module(module).app


def _check_every_hit() -> None:
    replace(self_check, "PART", 1.0)


def _do_nothing(*_: Any) -> None:
    pass


def _send_nothing(responses: ResponseCache, _: Any) -> str:
    return responses.client.connection().run_id


def _return_itself(cached: CachedResponse, _: Any) -> CachedResponse:
    return cached


def _constant_run_id(_: Any) -> str:
    return "constant"


def _forget_guards() -> None:
    store = ResponseCache.set

    def store_late(*arguments: Any) -> str:
        time.sleep(QUERY_SECONDS)
        return store(*arguments)

    replace(ResponseCache, "set", store_late)
    replace(response_cache, "is_unchanged", lambda *_: True)


def _read_versions_late() -> None:
    store = ResponseCache.set

    def store_late(self: ResponseCache, key: str, tags: Any, _: bytes, *arguments: Any) -> str:
        time.sleep(QUERY_SECONDS)
        versions, _found = self.get(key, tags)
        return store(self, key, tags, versions or b"", *arguments)

    replace(ResponseCache, "set", store_late)


def _read_position_late() -> None:
    begin = LocalCache.__init__

    def begin_late(self: LocalCache, memory: Any, log: ChangeLog, ttl: float) -> None:
        store = memory.put

        def store_late(key: str, entry: Any) -> None:
            time.sleep(QUERY_SECONDS)
            entry.validity = log.catch_up()
            store(key, entry)

        replace(memory, "put", store_late)
        begin(self, memory, log, ttl)

    replace(LocalCache, "__init__", begin_late)


def _invalidate_before_commit() -> None:
    invalidate, commit = ResponseCache.invalidate, unit_of_work._commit  # noqa: SLF001

    def invalidate_and_commit(writes: Sequence[PendingWrite]) -> None:
        db.session.flush()
        cache = current_services().cache
        for write in writes:
            if cache is not None:
                invalidate(cache.responses, write.tags)
        time.sleep(QUERY_SECONDS)
        commit(writes)

    replace(unit_of_work, "_commit", invalidate_and_commit)
    replace(ResponseCache, "invalidate", _send_nothing)


def _ignore_missing_rows() -> None:
    read = ChangeLog.catch_up

    def read_without_gaps(log: Any) -> int:
        position = read(log)
        log._complete_since = 0  # noqa: SLF001
        return position

    replace(ChangeLog, "catch_up", read_without_gaps)
    replace(outbox, "PURGE_EVERY_SECONDS", 0.0)
    replace(outbox, "PURGE_AFTER", timedelta(0))


def _ignore_cursor(_: str, ring: RingBuffer) -> int:
    return ring.position


def _repeat_event_of_cursor(after: str, _: RingBuffer) -> int:
    return max(0, int(after.partition("-")[2]) - 1)


def _change_read_events(change: Callable[[list[Event]], list[Event]]) -> None:
    since = RingBuffer.since

    def changed_since(self: RingBuffer, position: int) -> list[Event] | None:
        events = since(self, position)
        return events and change(events)

    replace(RingBuffer, "since", changed_since)


def _number_in_reverse() -> None:
    append = event_log.append
    replace(event_log, "append", lambda new: append(new[::-1]))


BROKEN_CACHE: Mapping[str, Callable[[], None]] = {
    # Invalidations are not sent.
    "forget": lambda: replace(ResponseCache, "invalidate", _send_nothing),
    # The outbox is not read before the cache is used.
    "lease": lambda: replace(CacheLease, "_deliver_all", _do_nothing),
    # A write between a query and the reading of its fine versions goes unnoticed.
    "fine": _forget_guards,
    # Data of a Redis that restarted with an old snapshot is trusted.
    "run-id": lambda: replace(client, "run_id_of", _constant_run_id),
    # The versions of tags are read after the query of a view, not before.
    "versions": _read_versions_late,
    # The position in the change log of SQLite is read after the query of a view, not before.
    "position": _read_position_late,
    # Responses are invalidated before the commit of a write, not after it.
    "early": _invalidate_before_commit,
    # Responses in memory are used while the lease is valid, whatever versions their tags have.
    "memory": lambda: replace(CachedResponse, "recheck", _return_itself),
    # The replica is read whatever it has replayed.
    "replica": lambda: replace(replica, "_has_replayed", lambda *_: True),
    # Rows of the change log that another process has removed are taken for unchanged tags.
    "removed": _ignore_missing_rows,
}
BROKEN_SUBSCRIPTIONS: Mapping[str, Callable[[], None]] = {
    # The cursor to resume from is ignored.
    "after": lambda: replace(hub, "_position", _ignore_cursor),
    # The event of the cursor is sent again.
    "repeat": lambda: replace(hub, "_position", _repeat_event_of_cursor),
    # Missed events are sent in reverse order.
    "swap": lambda: _change_read_events(lambda events: events[::-1]),
    # Some events are not sent.
    "drop": lambda: _change_read_events(lambda events: [e for e in events if e.position % 10]),
    # The events of a write get their positions in the wrong order.
    "order": _number_in_reverse,
}
