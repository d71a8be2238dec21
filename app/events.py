"""What has happened, numbered in commit order: the log that subscribers resume from."""

from typing import NamedTuple


class Event(NamedTuple):
    """Something that a committed write has told."""

    position: int
    """Its place in the log; the next event's is one more."""
    topic: str
    """What it is about, as ``book:7:reviews``."""
    payload: bytes
    """JSON."""


class Head(NamedTuple):
    """Where a log stands."""

    log: str
    """The log's own name, made with its database: positions of another log mean nothing here."""
    position: int
    """Of the newest event; 0 before the first."""
    oldest: int
    """Of the oldest event that is kept; ``position + 1`` if none is."""
