"""The Redis Stream of a log: it delivers new events fast, but any of them may be missing."""

from collections.abc import Sequence
from typing import Any

from app.events.log import Event
from app.redis.client import TIMEOUT_SECONDS, Command, RedisClient

STREAM_MAX = 1_000
"""About how many events a stream has. A reader that is further behind reads the database."""
STREAM_SECONDS = 3_600
"""Redis removes a stream that gets no new event for so long."""
BLOCK_SECONDS = 0.5
READ_LIMIT = 500


def stream_key(log: str) -> str:
    """Return the key of a log's stream.

    Unlike the keys of the cache it does not contain the server's ``run_id``: the ids are the
    positions of the events, which stay valid after a restart of Redis.
    """
    return f"bookstall:{log}:changes"


def stream_commands(log: str, events: Sequence[Event]) -> list[Command]:
    """Return the commands that add ``events`` to the stream; Redis may refuse them.

    It refuses those that are older than what another process has added already. Readers notice
    the gap, and read the database.
    """
    key = stream_key(log)
    add = ("XADD", key, "MAXLEN", "~", STREAM_MAX)
    return [
        *((*add, f"{event.position}-0", *_fields(event)) for event in events),
        ("EXPIRE", key, STREAM_SECONDS),
    ]


def _fields(event: Event) -> Sequence[Any]:
    names = ("y", event.type), ("t", event.topic), ("a", event.at), ("p", event.data)
    return [part for name in (*names, ("c", event.context)) for part in name]


class Stream:
    """A reader for one thread; a call that exceeds its timeout raises RedisUnavailable.

    It has its own client, and so its own circuit breaker: an open breaker allows one request in
    each second, and this reader would take it from the requests of clients.
    """

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url)

    def usable(self) -> bool:
        """Return whether Redis may be used now: while it is unavailable, True once a second."""
        return self._client.breaker.allow_request()

    def read(self, log: str, position: int) -> Sequence[Event]:
        """Return the events after ``position``; wait for them for up to BLOCK_SECONDS.

        Raise ValueError if another program wrote to the stream.
        """
        options = ("COUNT", READ_LIMIT, "BLOCK", int(1_000 * BLOCK_SECONDS))
        command = ("XREAD", *options, "STREAMS", stream_key(log), f"{position}-0")
        timeout = BLOCK_SECONDS + TIMEOUT_SECONDS
        response = self._client.execute(self._client.connection(), command, timeout=timeout)
        return [_event(*entry) for entry in response[0][1]] if response else []

    def newest(self, log: str) -> int:
        """Return the newest position in the stream; 0 if it is empty."""
        command = ("XREVRANGE", stream_key(log), "+", "-", "COUNT", 1)
        entries = self._client.execute(self._client.connection(), command)
        return _position(entries[0][0]) if entries else 0

    def drop(self, log: str) -> None:
        self._client.execute(self._client.connection(), ("DEL", stream_key(log)))

    def close(self) -> None:
        self._client.close()


def _event(entry: bytes, fields: Sequence[bytes]) -> Event:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    if not values.keys() >= {b"y", b"t", b"a", b"p", b"c"}:
        raise ValueError("not an event of this release")
    kind, topic, at = (values[name].decode() for name in (b"y", b"t", b"a"))
    return Event(_position(entry), kind, topic, at, values[b"p"], values[b"c"])


def _position(entry: bytes) -> int:
    number, _, sequence = entry.partition(b"-")
    if sequence != b"0":
        raise ValueError("not an id of this service")
    return int(number)
