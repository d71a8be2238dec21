"""asgi.py under gunicorn's asgi worker, one worker, and what that worker uses."""

import json
import os
import re
import time
from pathlib import Path
from typing import Self

from stress.http_client import Wire, get, post
from stress.service import LiveService

TICKS = os.sysconf("SC_CLK_TCK")
BOOK = 1


class Asgi(LiveService):
    """The service with its WebSockets."""

    def cpu(self) -> float:
        """Return the seconds of CPU that the worker has used."""
        fields = self._of_worker("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Return the bytes that the worker holds, its part of what it shares with the master."""
        found = re.search(r"^Pss: +(\d+) kB", self._of_worker("smaps_rollup"), re.MULTILINE)
        assert found
        return 1024 * int(found[1])

    def _of_worker(self, name: str) -> str:
        (worker,) = self.workers()
        return Path(f"/proc/{worker}/{name}").read_text()


class Poster:
    """Posts reviews of one book by REST; each is the next event of the log."""

    def __init__(self, port: int, text: str = "Read in one night.") -> None:
        self._wire = Wire(port)
        body = json.dumps({"rating": 4, "reviewer": "Ana", "text": text})
        self._words = post(f"/books/{BOOK}/reviews", body.encode())
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()  # a worker that is to end would wait for it

    def post(self) -> tuple[int, float]:
        """Add a review; return the position of its event, and when the request was sent."""
        began = time.monotonic()
        status, body = self._wire.ask(self._words)
        if status != 201:
            raise SystemExit(f"a review was answered with {status}, {body[:200]!r}")
        self._position += 1
        return self._position, began

    def post_steadily(self, count: int, every: float) -> dict[int, float]:
        """Add so many, one in ``every`` seconds; return when each was sent."""
        start, sent = time.monotonic(), {}
        for number in range(count):
            time.sleep(max(0.0, start + number * every - time.monotonic()))
            position, began = self.post()
            sent[position] = began
        return sent

    def wait_for_subscriptions(self, count: int) -> None:
        """Wait until exactly so many are at work."""
        while self.figure("bookstall_live_subscriptions") != count:
            time.sleep(0.1)

    def figure(self, name: str) -> float:
        """Read one of the service's own figures; 0 if it is not there."""
        text = self._wire.ask(get("/metrics"))[1].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0
