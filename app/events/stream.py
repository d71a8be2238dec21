"""The events of a log in Redis: the fast way, which may lack any of them."""

from collections.abc import Sequence

from app.events.log import Event, stream_key
from app.redis.client import TIMEOUT_SECONDS, RedisLink

BLOCK_SECONDS = 0.5
AT_ONCE = 500


class Stream:
    """Read by one thread, on a connection of its own; every call ends in time or raises RedisAway.

    The breaker is its own too: that of the cache lets one caller through in each second, and
    this reader would take the turn of a request.
    """

    def __init__(self, url: str) -> None:
        self._server = RedisLink(url)

    def usable(self) -> bool:
        """Tell whether Redis may be asked now; while it is away, once a second."""
        return self._server.breaker.allows()

    def read(self, log: str, position: int) -> Sequence[Event]:
        """Return what is there behind ``position``; wait up to BLOCK_SECONDS for it.

        Raise ValueError for what no writer of ours has put there.
        """
        how = ("XREAD", "COUNT", AT_ONCE, "BLOCK", int(1_000 * BLOCK_SECONDS))
        command = (*how, "STREAMS", stream_key(log), f"{position}-0")
        patience = BLOCK_SECONDS + TIMEOUT_SECONDS
        answer = self._server.need(self._server.link(), command, seconds=patience)
        return [_event(*entry) for entry in answer[0][1]] if answer else []

    def newest(self, log: str) -> int:
        """Return the newest position in the stream; 0 without any."""
        command = ("XREVRANGE", stream_key(log), "+", "-", "COUNT", 1)
        found = self._server.need(self._server.link(), command)
        return _position(found[0][0]) if found else 0

    def drop(self, log: str) -> None:
        """Remove the stream of this log."""
        self._server.need(self._server.link(), ("DEL", stream_key(log)))

    def close(self) -> None:
        """Close the connection of this thread."""
        self._server.leave()


def _event(entry: bytes, fields: Sequence[bytes]) -> Event:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    if not named.keys() >= {b"t", b"p"}:
        raise ValueError("not an event of ours")
    return Event(_position(entry), named[b"t"].decode(), named[b"p"])


def _position(entry: bytes) -> int:
    number, _, sequence = entry.partition(b"-")
    if sequence != b"0":
        raise ValueError("not an id of ours")
    return int(number)
