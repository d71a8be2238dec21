"""The unit of work: one commit of a write, its cache invalidation and its events.

The transaction of a write contains, beside its own rows, one outbox row with the tags to
invalidate, and as its last step its events.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from flask import g
from sqlalchemy.exc import SQLAlchemyError

from app.cache import outbox
from app.events import log as event_log
from app.events.log import NewEvent
from app.extensions import db
from app.http.request import ENVIRON
from app.http.trace import trace_of
from app.redis.client import RedisUnavailable
from app.services import current_services

PENDING = "bookstall_pending_writes"
log = logging.getLogger(__name__)


def commit(*, invalidate: Sequence[str] = (), events: Sequence[NewEvent] = ()) -> None:
    """Commit the current transaction, and invalidate all responses that carry one of the tags.

    ``events`` are appended to the event log in the same transaction. Nothing fails after the
    commit: an invalidation that cannot be delivered stays in the outbox. Within
    ``deferred_commit`` the transaction only ends with that context.
    """
    write = PendingWrite(invalidate, events)
    if invalidate:
        write.stage()
    pending: list[PendingWrite] | None = g.get(PENDING)
    if pending is None:
        _commit([write])
    else:
        db.session.flush()
        pending.append(write)


def is_commit_deferred() -> bool:
    """Return whether this runs within ``deferred_commit``, in a transaction of somebody else."""
    return PENDING in g


def end_unchanged() -> None:
    """End a transaction in which nothing had to be written, and with it its locks.

    Within ``deferred_commit`` do nothing: a rollback would undo the claim of an Idempotency-Key.
    """
    if not is_commit_deferred():
        db.session.rollback()


@contextmanager
def deferred_commit() -> Iterator[Callable[[], None]]:
    """Defer every ``commit`` in this block until the yielded function is called.

    So the response of a write can be stored in the write's own transaction, as with an
    Idempotency-Key. A block that does not call the function leaves nothing behind.
    """
    pending: list[PendingWrite] = []
    setattr(g, PENDING, pending)
    try:
        yield lambda: _commit(pending)
    finally:
        g.pop(PENDING)
        db.session.rollback()


def _commit(writes: Sequence["PendingWrite"]) -> None:
    new = _traced([event for write in writes for event in write.events])
    numbered = event_log.append(new) if new else None
    db.session.commit()
    for write in writes:
        if write.tags:
            write.invalidate()
    if new:  # now, so that a follower who reads what an event is about sees the new state
        current_services().sequencer.wake(numbered)


def _traced(events: Sequence[NewEvent]) -> Sequence[NewEvent]:
    """Return the events with the trace of the current request, which webhooks pass on."""
    trace = trace_of(ENVIRON.get({}))
    if trace is None:
        return events
    return [each._replace(context={**(each.context or {}), **trace.headers}) for each in events]


class PendingWrite:
    """One write, from its outbox row to what follows its commit."""

    def __init__(self, tags: Sequence[str], events: Sequence[NewEvent]) -> None:
        self.tags = tags
        self.events = events
        self._may_deliver = False  # stays so without a cache or while its breaker is open
        self._row_id = 0

    def stage(self) -> None:
        """Add the outbox row to the current transaction."""
        cache = current_services().cache
        if cache is not None:
            self._may_deliver = cache.responses.breaker.allow_request(priority=True)
        unreachable = cache is not None and not self._may_deliver
        self._row_id = outbox.add(self.tags, unreachable=unreachable)

    def invalidate(self) -> None:
        """Send the invalidation to Redis; it stays in the database if that fails."""
        try:
            self._invalidate()
        except (RedisUnavailable, SQLAlchemyError) as error:
            log.warning("invalidation %d stays in the outbox: %s", self._row_id, error)

    def _invalidate(self) -> None:
        services = current_services()
        if services.cache is None:
            services.outbox_purger.purge_periodically()
        elif self._may_deliver:
            services.cache.deliver(self._row_id, self.tags)
