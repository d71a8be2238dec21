"""Pages of the event log, and how an event is shown."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from app.db.engine import autocommit_engine
from app.errors import BadRequest, WindowPassed
from app.events import log as events
from app.events.log import Cursor, Event, LogHead
from app.services import current_services

NOW = "now"
"""In the place of a cursor: after the newest event."""
MAX_SCANNED = 10_000
"""The positions that one page goes through at most: few of their events may be of the wanted
types."""


class Page(NamedTuple):
    """A page of the log."""

    items: Sequence[orjson.Fragment]
    cursor: str
    """After everything that was read, shown or not."""
    has_more: bool
    """Whether the log went on after ``cursor`` when it was read."""


def show(log: str, event: Event) -> bytes:
    """Return an event of ``log`` as JSON, in one line."""
    shown = {
        "cursor": events.format_cursor(log, event.position),
        "type": event.type,
        "at": event.at,
        "data": orjson.Fragment(event.data),
    }
    return orjson.dumps(shown)


def parse_cursor(text: str) -> Cursor:
    """Parse a cursor that a client sends; raise BadRequest."""
    try:
        return events.parse_cursor(text)
    except ValueError:
        raise BadRequest("This is not a valid event cursor.") from None


def read_page(after: str | None, types: frozenset[str] | None, limit: int) -> Page:
    """Return the events of these types, or of all, after a cursor; None: from the oldest.

    Raise BadRequest for an invalid cursor, and WindowPassed when events after it are gone.
    """
    cursor = None if after in {None, NOW} else parse_cursor(str(after))
    head = current_services().sequencer.head()
    if after == NOW:
        return Page((), events.format_cursor(head.log, head.position), has_more=False)
    if cursor is not None:
        return _read(cursor, head, types, limit)
    try:
        return _read(head.beginning, head, types, limit)
    except WindowPassed:  # the oldest events have been removed since
        head = current_services().sequencer.head()
        return _read(head.beginning, head, types, limit)


def _read(cursor: Cursor, head: LogHead, types: frozenset[str] | None, limit: int) -> Page:
    head.check(cursor)
    end = min(head.position, cursor.position + MAX_SCANNED)
    found = events.after(autocommit_engine(), cursor, end, limit, types)
    place = found[-1].position if len(found) == limit else end
    return Page(
        [orjson.Fragment(show(head.log, event)) for event in found],
        events.format_cursor(head.log, place),
        has_more=place < head.position,
    )
