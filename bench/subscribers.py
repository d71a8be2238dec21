"""Subscribers by the thousand, in a process of their own, which is told what to do by lines.

Run as ``python -m bench.subscribers PORT BOOK COUNT (same|own)``: all with one query, or each
with its own. It prints ``ready`` when all are connected; each ``tell`` returns one line of JSON.
"""

import json
import resource
import select
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Self

from bench.follower import Follower, subscription
from bench.load import ROOT

AT_ONCE = 50
"""So many connect at the same time."""


@dataclass
class Heard:
    """What a crowd has heard since it was asked last."""

    times: dict[int, list[float]]
    """For each position of an event when it came to each subscriber, by CLOCK_MONOTONIC."""
    lost: list[str]
    """Why connections have ended, of all time."""
    own: float
    """Seconds of CPU that the crowd has used, of all time."""


class Crowd:
    """A crowd seen from the process that started it."""

    def __init__(self, port: int, book: int, count: int, *, own_queries: bool = False) -> None:
        self.count = count
        queries = "own" if own_queries else "same"
        words = [
            sys.executable,
            "-m",
            "bench.subscribers",
            str(port),
            str(book),
            str(count),
            queries,
        ]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self) -> Heard:
        """Ask what it has heard since it was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("tell\n")
        self._process.stdin.flush()
        told = json.loads(self._line())
        times = {int(place): heard for place, heard in told["times"].items()}
        return Heard(times, told["lost"], told["own"])

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the subscribers have ended")
        return line


class Listening:
    """The crowd itself: one thread, one poll."""

    def __init__(self, port: int, book: int, count: int, *, own_queries: bool) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._followers: dict[int, Follower] = {}
        self._times: dict[int, list[float]] = defaultdict(list)
        self._lost: list[str] = []
        for number in range(count):
            query = subscription(book, f"t{number}" if own_queries else "")
            self._add(Follower(port, query))
            if number % AT_ONCE == 0:
                self._until_all_are_acknowledged()
        self._until_all_are_acknowledged()

    def _add(self, follower: Follower) -> None:
        self._followers[follower.socket.fileno()] = follower
        self._poll.register(follower.socket.fileno(), select.EPOLLIN)

    def _until_all_are_acknowledged(self) -> None:
        while not all(f.acknowledged for f in self._followers.values()):
            self._turn()
            if self._lost:
                raise SystemExit(f"not all are connected: {self._lost[0]}")

    def run(self) -> None:
        """Listen until nobody is there to be told."""
        print("ready", flush=True)
        while self._turn():
            pass

    def _turn(self) -> bool:
        for number, _ in self._poll.poll():
            follower = self._followers.get(number)
            if follower is None:
                if not sys.stdin.readline():
                    return False
                print(json.dumps(self._told()), flush=True)
            else:
                self._feed(number, follower)
        return True

    def _feed(self, number: int, follower: Follower) -> None:
        try:
            places = follower.feed()
        except OSError as error:
            self._lost.append(str(error))
            self._poll.unregister(number)
            self._followers.pop(number).socket.close()
            return
        now = time.monotonic()
        for place in places:
            self._times[place].append(now)

    def _told(self) -> dict[str, Any]:
        told, self._times = self._times, defaultdict(list)
        return {"times": told, "lost": self._lost, "own": time.process_time()}


def raise_limit() -> None:
    """Allow as many open files as the system does, for us and for what we start."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    port, book, count, queries = sys.argv[1:]
    Listening(int(port), int(book), int(count), own_queries=queries == "own").run()
