"""Receivers of webhooks in a process of their own, which reports over a pipe.

``python -m bench.receivers`` prints its port, and a line of JSON for each line on its standard
input. A path that begins with HANGING belongs to a receiver that accepts connections and requests,
and never responds; each other path is a receiver that accepts every event.
"""

import asyncio
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from typing import Any

import orjson
import uvloop

from bench.subscribers import ReceivingProcess, Report, raise_file_limit

HANGING = "/hanging/"
LENGTH, ID = b"\r\ncontent-length: ", b"\r\nwebhook-id: "
HEAD_END = b"\r\n\r\n"
BACKLOG = 4_096
ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"


class ReceiverProcess(ReceivingProcess):
    """The process of the receivers, of which ``count`` accept events."""

    def __init__(self, count: int) -> None:
        super().__init__(count, "bench.receivers")
        self.port = int(self.first_line)

    def url(self, path: str) -> str:
        """Return the URL of the receiver with this path."""
        return f"http://127.0.0.1:{self.port}{path}"


class Receivers:
    """What all receivers have got since the last report."""

    def __init__(self) -> None:
        self._times: dict[int, list[float]] = defaultdict(list)
        self._seen: set[tuple[bytes, int]] = set()

    def add(self, path: bytes, position: int) -> None:
        """Note an event, unless this receiver had it before: a request may be repeated."""
        if (path, position) not in self._seen:
            self._seen.add((path, position))
            self._times[position].append(time.monotonic())

    def report(self) -> None:
        """Print a report for the line on standard input, or end the process at its end."""
        if not sys.stdin.readline():
            asyncio.get_running_loop().stop()
            return
        times, self._times = self._times, defaultdict(list)
        report = asdict(Report(dict(times), [], time.process_time()))
        print(orjson.dumps(report, option=orjson.OPT_NON_STR_KEYS).decode(), flush=True)


class Connection(asyncio.Protocol):
    """A connection of the deliverer, on which one request follows the response to another."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(HEAD_END)
        if not end or len(body) < int(_value(head, LENGTH)):
            return
        self._received = b""
        path = head.split(b" ", 2)[1]
        if not path.startswith(HANGING.encode()):
            self._receivers.add(path, int(_value(head, ID).rpartition(b"-")[2]))
            self._transport.write(ACCEPTED)


def _value(head: bytes, name: bytes) -> bytes:
    start = head.lower().index(name) + len(name)
    return head[start:].partition(b"\r\n")[0]


async def _listen(receivers: Receivers) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(receivers), "127.0.0.1", 0, backlog=BACKLOG
    )
    loop.add_reader(sys.stdin.fileno(), receivers.report)
    print(server.sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    raise_file_limit()
    loop = uvloop.new_event_loop()
    loop.run_until_complete(_listen(Receivers()))
    loop.run_forever()
