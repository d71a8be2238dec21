"""The newest events of a log, kept in memory for all who follow it."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from app.events.log import Event, Head

RECENT = 1_000
"""How many events are kept: who lost its connection for a moment is served from these."""


class Ring:
    """Events without a gap, the newest last. Positions tell where each one stands."""

    def __init__(self, head: Head, recent: Iterable[Event] = ()) -> None:
        self.log = head.log
        self.position = head.position
        self._events = deque(recent, RECENT)

    def add(self, events: Sequence[Event]) -> None:
        """Append what follows on the newest event."""
        if events and events[0].position != self.position + 1:
            raise ValueError(f"event {events[0].position} does not follow on {self.position}")
        self._events.extend(events)
        self.position = events[-1].position if events else self.position

    def since(self, position: int, topic: str | None) -> list[Event] | None:
        """Return the events after ``position``, of one topic or of all; None if some are gone."""
        known = len(self._events) - (self.position - position)
        if known < 0:
            return None
        later = islice(self._events, known, None)
        return [event for event in later if topic is None or event.topic == topic]
