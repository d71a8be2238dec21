"""How long a stale response is served after a writer was killed before its invalidation.

As a module it is that writer: it adds a review and is killed when it would invalidate the cache.
"""

import os
import signal
import subprocess
import sys
import time
from typing import NoReturn

import orjson

from app.cache.lease import LEASE_SECONDS
from app.cache.response_cache import ResponseCache
from bookreview import services
from stress.broken import replace
from stress.http_client import HttpClient, get
from stress.service import ROOT, environment
from stress.stats import percentile
from stress.threads import WorkerThreads

BOOK = 4
READERS = 4
READ_SECONDS = 1.5
"""The readers continue for so long after the commit."""
Observation = tuple[float, int]
"""When the book was requested, and the number of reviews in the response."""


def run(port: int, database: str, redis: str, times: int) -> None:
    """Kill so many writers, and print how long readers got the previous response."""
    seconds = [_stale_seconds(port, database, redis) for _ in range(times)]
    print(f"\nA writer killed (-9) between commit and invalidation, {times} times: the last stale ")
    print(f"read began {percentile(seconds, 50):.3f} s (median) and at most {max(seconds):.3f} s")
    print(f"after the commit; the limit is {LEASE_SECONDS} s and one request.")


def _stale_seconds(port: int, database: str, redis: str) -> float:
    observations: list[Observation] = []

    def read() -> None:
        client = HttpClient(port)
        while not readers.stopping.is_set():
            response = client.request(get(f"/books/{BOOK}"))
            if response is None:
                raise SystemExit("a connection broke")
            count = orjson.loads(response.body)["review_count"]
            observations.append((response.began, count))
            time.sleep(0.002)
        client.close()

    with (readers := WorkerThreads(*[read] * READERS)):
        committed = _run_writer(database, redis)
        time.sleep(READ_SECONDS)
    counts = [count for _, count in observations]
    if max(counts) == min(counts):
        raise SystemExit("no response shows the write")
    stale = [began for began, count in observations if count < max(counts) and began > committed]
    return max(stale, default=committed) - committed


def _run_writer(database: str, redis: str) -> float:
    """Run the writer, and return when it had committed."""
    command = [sys.executable, "-m", "bench.writer_crash"]
    env = environment(DATABASE_URL=database, REDIS_URL=redis)
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != -signal.SIGKILL:
        raise SystemExit(f"the writer was not killed: {done.returncode} {done.stderr}")
    return float(done.stdout)


def write_and_crash() -> None:
    """Add a review; the process is killed instead of invalidating the cache."""
    from wsgi import app  # noqa: PLC0415 - it reads its settings from the environment

    def crash(*_: object) -> NoReturn:
        print(time.monotonic(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    replace(ResponseCache, "invalidate", crash)
    with app.app_context():
        services.add_review(BOOK, 5, "Ana", "Read in one night.")


if __name__ == "__main__":
    write_and_crash()
