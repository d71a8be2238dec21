"""How long a stale response is served after a writer was killed before its invalidation."""

import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from app.cache.lease import LEASE_SECONDS
from bench.table import print_table
from stack.servers import Postgres, Redis
from stress.data import fill
from stress.http_client import MEMORY_HIT, HttpClient, Response, get
from stress.killed_writer import KilledWriter
from stress.service import LiveService
from stress.stats import percentile
from stress.threads import WorkerThreads

BOOK = 4
READERS = 4
PAUSES = (0.002, 0.2)
"""Seconds between two reads of a reader. Frequent reads renew a lease when half of it is over."""
READ_SECONDS = 1.0
"""The readers continue for so long after the commit."""


class Crash(NamedTuple):
    """What readers saw after a writer had committed and was killed, in seconds after that."""

    last_stale: float
    first_fresh: float


def run(quick: bool) -> None:
    """Kill writers, and print how long readers got the previous response."""
    times = 2 if quick else 30
    print(
        f"A writer killed (-9) between commit and invalidation, {times} times for each row, while"
    )
    print(
        f"{READERS} readers read from 2 asgi workers on PostgreSQL and Redis. When a read began, in"
    )
    print("seconds after the commit, median and maximum; the limit for the last stale one is")
    print(f"{LEASE_SECONDS} s. Load average {os.getloadavg()[0]:.1f}.\n")
    with Postgres() as postgres, Redis() as redis:
        url = postgres.new_database("crash")
        fill(url, reviews=50)
        settings = {"DATABASE_URL": url, "REDIS_URL": redis.url}
        with KilledWriter(**settings) as writer, LiveService("asgi:app", 2, **settings) as service:
            writer.add_review(BOOK, "The first one prepares everything.")
            rows = [_measure(service.port, writer, pause, times) for pause in PAUSES]
    heads = ["pause of a reader, s", "reads", "memory hits", "last stale read", "first fresh read"]
    print_table(heads, rows)


def _measure(port: int, writer: KilledWriter, pause: float, times: int) -> list[object]:
    caches: Counter[str] = Counter()
    crashes = [_crash(port, writer, pause, caches) for _ in range(times)]
    last, first = zip(*crashes, strict=True)
    memory = f"{caches[MEMORY_HIT] / caches.total():.0%}"
    return [pause, caches.total(), memory, _figures(last), _figures(first)]


def _crash(port: int, writer: KilledWriter, pause: float, caches: Counter[str]) -> Crash:
    responses: list[Response] = []

    def read() -> None:
        client = HttpClient(port)
        while not readers.stopping.is_set():
            response = client.request(get(f"/books/{BOOK}"))
            if response is None:
                raise SystemExit("a connection broke")
            responses.append(response)
            time.sleep(random.uniform(0, 2 * pause))
        client.close()

    with (readers := WorkerThreads(*[read] * READERS)):
        time.sleep(random.uniform(0.3, 0.8))  # at any moment of a lease
        committed = writer.add_review(BOOK, "Read in one night.")
        time.sleep(READ_SECONDS)
    caches.update(response.cache for response in responses)
    counts = [(one.began - committed, _review_count(one)) for one in responses]
    newest = max(count for _, count in counts)
    if newest == counts[0][1]:
        raise SystemExit("no response shows the write")
    stale = [after for after, count in counts if count < newest and after > 0]
    return Crash(max(stale, default=0.0), min(after for after, count in counts if count == newest))


def _review_count(response: Response) -> int:
    return int(orjson.loads(response.body)["review_count"])


def _figures(seconds: Sequence[float]) -> str:
    return f"{percentile(seconds, 50):.3f}, {max(seconds):.3f}"
