"""How long a stale response is served after a writer was killed before its invalidation."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from app.cache.lease import LEASE_SECONDS
from stress.http_client import MEMORY_HIT, HttpClient, Response, get
from stress.killed_writer import KilledWriter
from stress.stats import percentile
from stress.threads import WorkerThreads

BOOK = 4
READERS = 4
READ_SECONDS = 1.0
"""The readers continue for so long after the commit."""


class Crash(NamedTuple):
    """What readers saw after a writer had committed and was killed, in seconds after that."""

    last_stale: float
    first_fresh: float


def run(port: int, database: str, redis: str, times: int) -> None:
    """Kill so many writers, and print how long readers got the previous response."""
    caches: Counter[str] = Counter()
    with KilledWriter(DATABASE_URL=database, REDIS_URL=redis) as writer:
        writer.add_review(BOOK, "The first one prepares everything.")
        crashes = [_crash(port, writer, caches) for _ in range(times)]
    last, first = zip(*crashes, strict=True)
    memory = caches[MEMORY_HIT] / caches.total()
    print(f"\nA writer killed (-9) between commit and invalidation, {times} times, while")
    print(f"{READERS} readers sent {caches.total()} reads, {memory:.0%} of them hits from memory.")
    print(f"After the commit the last stale read began {_figures(last)}, and the first fresh")
    print(f"one {_figures(first)}. The limit for the last stale one is {LEASE_SECONDS} s.")


def _crash(port: int, writer: KilledWriter, caches: Counter[str]) -> Crash:
    responses: list[Response] = []

    def read() -> None:
        client = HttpClient(port)
        while not readers.stopping.is_set():
            response = client.request(get(f"/books/{BOOK}"))
            if response is None:
                raise SystemExit("a connection broke")
            responses.append(response)
            time.sleep(0.002)
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
    return f"{percentile(seconds, 50):.3f} s (median) to {max(seconds):.3f} s"
