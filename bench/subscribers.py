"""Thousands of subscribers in a process of their own, which reports over a pipe.

``python -m bench.subscribers PORT TOPIC COUNT`` prints ``ready`` when all are connected, and a line
of JSON for each line on its standard input. TOPIC is the id of a book, whose reviews they follow
over WebSockets, or a cursor, after which they follow the event stream of the feed.
"""

import resource
import select
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Self

import orjson

from bench.changes_client import ChangesClient
from bench.websocket_client import SubscriptionClient
from stress.service import ROOT

CONNECTING_AT_ONCE = 50


@dataclass
class Report:
    """What the subscribers received since the previous report."""

    times: dict[int, list[float]]
    """For each position, when the event reached each subscriber (``time.monotonic``)."""
    lost: list[str]
    """Why connections ended, since the start."""
    cpu: float
    """Seconds of CPU of the subscribers, since the start."""


class ReceivingProcess:
    """A process in which ``count`` clients receive events, for the process that started it."""

    def __init__(self, count: int, module: str, *arguments: str | int) -> None:
        self.count = count
        command = [sys.executable, "-m", module, *map(str, arguments)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self.first_line = self._read_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def report(self) -> Report:
        """Return what the subscribers received since the previous report."""
        assert self._process.stdin is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        report = orjson.loads(self._read_line())
        times = {int(position): received for position, received in report["times"].items()}
        return Report(times, report["lost"], report["cpu"])

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process that receives events has ended")
        return line


class SubscriberProcess(ReceivingProcess):
    """The process of the subscribers."""

    def __init__(self, port: int, topic: str | int, count: int) -> None:
        super().__init__(count, "bench.subscribers", port, topic, count)


class Subscribers:
    """All subscribers, in one thread with one epoll."""

    def __init__(self, port: int, topic: str, count: int) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._clients: dict[int, SubscriptionClient | ChangesClient] = {}
        self._times: dict[int, list[float]] = defaultdict(list)
        self._lost: list[str] = []
        for number in range(count):
            client = _connect(port, topic)
            self._clients[client.socket.fileno()] = client
            self._poll.register(client.socket.fileno(), select.EPOLLIN)
            if number % CONNECTING_AT_ONCE == 0:
                self._wait_for_acknowledgements()
        self._wait_for_acknowledgements()

    def _wait_for_acknowledgements(self) -> None:
        while not all(client.acknowledged for client in self._clients.values()):
            self._poll_once()
            if self._lost:
                raise SystemExit(f"a subscriber cannot connect: {self._lost[0]}")

    def run(self) -> None:
        """Receive events until standard input is closed."""
        print("ready", flush=True)
        while self._poll_once():
            pass

    def _poll_once(self) -> bool:
        for fd, _ in self._poll.poll():
            client = self._clients.get(fd)
            if client is None:
                if not sys.stdin.readline():
                    return False
                print(orjson.dumps(self._report(), option=orjson.OPT_NON_STR_KEYS).decode())
                sys.stdout.flush()
            else:
                self._receive(fd, client)
        return True

    def _receive(self, fd: int, client: SubscriptionClient | ChangesClient) -> None:
        try:
            positions = client.receive()
        except OSError as error:
            self._lost.append(str(error))
            self._poll.unregister(fd)
            self._clients.pop(fd).socket.close()
            return
        now = time.monotonic()
        for position in positions:
            self._times[position].append(now)

    def _report(self) -> dict[str, Any]:
        times, self._times = self._times, defaultdict(list)
        return {"times": times, "lost": self._lost, "cpu": time.process_time()}


def _connect(port: int, topic: str) -> SubscriptionClient | ChangesClient:
    is_book = topic.isdigit()
    return SubscriptionClient(port, int(topic)) if is_book else ChangesClient(port, topic)


def raise_file_limit() -> None:
    """Raise the limit of open files to the maximum, for this process and its children."""
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))


if __name__ == "__main__":
    port, topic, count = sys.argv[1:]
    Subscribers(int(port), topic, int(count)).run()
