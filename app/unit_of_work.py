"""What one write tells others: caches by the tags that it has changed, subscribers by its event."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.cache import outbox
from app.cache.backend import CacheAway
from app.cache.read_through import ReadThrough
from app.db.engine import unbegun
from app.events import log as events
from app.events.log import Event

log = logging.getLogger(__name__)
News = tuple[str, Mapping[str, Any]]
"""The topic and the payload of an event that has no place in the log yet."""


class Telling:
    """One write's, from its outbox row to what is done after its commit."""

    def __init__(self, kept: ReadThrough | None, tags: Sequence[str], news: News | None) -> None:
        # None too where Redis is not to be asked now.
        self._kept = kept if kept is not None and kept.redis.breaker.allows(urgent=True) else None
        self._has_cache = kept is not None
        self._tags = tags
        self._news = news
        self._placed: tuple[str, Event] | None = None
        self._row = outbox.put(tags, held=self._has_cache and self._kept is None)

    def place(self) -> None:
        """Give the event its place in the log: the last step before the commit."""
        if self._news is not None:
            self._placed = events.append(*self._news)

    def tell(self) -> None:
        """Tell what has committed. What cannot be told, others find in the database."""
        try:
            self._invalidate()
        except (CacheAway, SQLAlchemyError) as error:
            log.warning("invalidation %d waits in the outbox: %s", self._row, error)
        try:
            self._purge()
        except SQLAlchemyError as error:
            log.warning("old events were not removed: %s", error)

    def _invalidate(self) -> None:
        if self._kept is not None:
            also = events.announcement(*self._placed) if self._placed else ()
            self._kept.deliver(self._row, self._tags, also)
        elif not self._has_cache:
            outbox.purge_now_and_then(unbegun())

    def _purge(self) -> None:
        if self._placed is not None:
            events.purge_now_and_then(unbegun(), self._placed[1].position)
