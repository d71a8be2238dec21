"""asgi.py with one worker, the resources that this worker uses, and a writer of reviews."""

import re
import time
from pathlib import Path
from typing import Self

import orjson

from bench.load import cpu_seconds
from stress.http_client import HttpConnection, get, post
from stress.service import LiveService

BOOK = 1


class MeasuredService(LiveService):
    """The live service with one worker."""

    def cpu_seconds(self) -> float:
        """Return the seconds of CPU that the worker has used."""
        (worker,) = self.workers()
        return cpu_seconds(worker)

    def memory_bytes(self) -> int:
        """Return the memory of the worker, with its part of the pages shared with the master."""
        (worker,) = self.workers()
        text = Path(f"/proc/{worker}/smaps_rollup").read_text()
        match = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
        assert match
        return 1024 * int(match[1])


class ReviewWriter:
    """Add reviews of one book by REST; each is the next event of the log."""

    def __init__(self, port: int, text: str = "Read in one night.") -> None:
        self._connection = HttpConnection(port)
        review = {"rating": 4, "reviewer": "Ana", "text": text}
        self._message = post(f"/books/{BOOK}/reviews", orjson.dumps(review))
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()  # a worker that stops would wait for it

    def post(self) -> tuple[int, float]:
        """Add a review; return the position of its event, and when the request was sent."""
        response = self._connection.request(self._message)
        if response.status != 201:
            raise SystemExit(f"a review: {response.status}, {response.body[:200]!r}")
        self._position += 1
        return self._position, response.began

    def post_at_interval(self, count: int, interval: float) -> dict[int, float]:
        """Add ``count`` reviews at a steady rate; return when each request was sent."""
        start, sent = time.monotonic(), {}
        for number in range(count):
            time.sleep(max(0.0, start + number * interval - time.monotonic()))
            position, began = self.post()
            sent[position] = began
        return sent

    def wait_for_subscriptions(self, count: int) -> None:
        """Wait until exactly so many subscriptions are active."""
        while self.metric("bookstall_live_subscriptions") != count:
            time.sleep(0.1)

    def metric(self, name: str) -> float:
        """Return a metric of the service, or 0 if it does not exist yet."""
        text = self._connection.request(get("/metrics")).body.decode()
        match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(match[1]) if match else 0.0
