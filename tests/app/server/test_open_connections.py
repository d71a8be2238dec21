"""Which connections are cut when there are too many, or when they hold too much."""

import time

import pytest

from app.server import bounds
from app.server.open_connections import OpenConnections


class Connection:
    """A connection in a given state, which records what is done to it."""

    def __init__(self, *, idle_since=None, head_since=None, overdue=None):
        self.opened_at, self.head_since = 0.0, head_since
        self.idle_since = 0.0 if idle_since is None else idle_since
        self._idle, self._overdue = idle_since is not None, overdue
        self.done = None

    def is_idle(self):
        return self._idle and self.done is None

    def overdue(self, now):
        return self._overdue

    def refuse(self, status, detail):
        self.done = status

    def close(self):
        self.done = "closed"

    def abort(self):
        self.done = "aborted"


@pytest.fixture
def counted(monkeypatch):
    counted = []
    monkeypatch.setattr(
        "app.server.open_connections.cut", lambda kind, reason: counted.append((kind, reason))
    )
    return counted


def add_all(connections, limit):
    opened = OpenConnections(limit)
    for connection in connections:
        opened.add(connection)
    return opened


def test_the_connection_that_is_idle_for_longest_makes_room(counted):
    busy, newer, older = Connection(), Connection(idle_since=9.0), Connection(idle_since=5.0)
    opened = add_all([busy, newer, older], 3)
    opened.add(new := Connection())
    assert [c.done for c in (busy, newer, older, new)] == [None, None, "aborted", None]
    assert counted == [("connection", "capacity")]


def test_the_oldest_incomplete_head_makes_room_if_none_is_idle(counted):
    now = time.monotonic()
    first, second = Connection(head_since=now - 2), Connection(head_since=now - 3)
    opened = add_all([first, second], 2)
    opened.hold(first, 10)
    opened.hold(second, 10)
    opened.add(new := Connection())
    assert [c.done for c in (first, second, new)] == [None, "aborted", None]
    assert counted == [("head", "capacity")]
    assert opened.held_bytes == 10


def test_a_new_connection_is_refused_if_all_others_are_served(counted):
    served = [Connection() for _ in range(3)]
    opened = add_all(served, 3)
    for _ in range(3):
        opened.add(new := Connection())
        assert new.done == "aborted"
        opened.discard(new)
    assert [c.done for c in served] == [None] * 3
    assert counted == [("connection", "capacity")] * 3


def test_a_twentieth_is_closed_at_a_time(counted):
    idle = [Connection(idle_since=float(number)) for number in range(100)]
    opened = add_all(idle, 100)
    opened.add(Connection())
    assert [c.done for c in idle] == ["aborted"] * 5 + [None] * 95


def test_bytes_that_wait_have_a_limit_together(monkeypatch, counted):
    monkeypatch.setattr(bounds, "MAX_HEADS_BYTES", 100)
    head, pipelined, last = Connection(head_since=1.0), Connection(), Connection(head_since=3.0)
    opened = add_all([head, pipelined, last], 10)
    opened.hold(head, 40)
    opened.hold(pipelined, 40)
    opened.hold(head, 50)
    opened.hold(last, 60)
    # The oldest head gets a response, then what follows a request in progress is dropped.
    assert [c.done for c in (head, pipelined, last)] == [503, None, None]
    opened.hold(last, 70)
    assert pipelined.done == "aborted"
    assert (opened.held_bytes, last.done) == (70, None)
    assert counted == [("head", "memory")] * 2
    opened.discard(last)
    assert opened.held_bytes == 0


@pytest.mark.parametrize(
    ("kind", "done"),
    [("head", 408), ("connection", "closed"), ("response", "aborted"), (None, None)],
)
def test_what_is_overdue_is_cut_and_counted(counted, kind, done):
    connection = Connection(overdue=kind)
    add_all([connection], 1).check(0.0)
    assert connection.done == done
    assert counted == ([(kind, "timeout")] if kind else [])
