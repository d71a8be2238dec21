"""How long the old is seen after a writer was killed between its commit and its invalidation.

Run as a module it is that writer: it adds a review, and dies at the moment of the invalidation.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import NoReturn

from app.cache.backend import RedisCache
from app.cache.lease import LEASE_SECONDS
from bench.load import ROOT
from bench.table import percentile
from bookreview import services
from stress.http_client import Wire
from stress.service import environment
from stress.staleness import Answer, one_book

BOOK = 4
AFTER = 1.5


def run(port: int, database: str, redis: str, times: int) -> None:
    """Kill so many writers, and print how long readers saw the value of before."""
    found = [_staleness(port, database, redis) for _ in range(times)]
    print(f"\nA writer killed (-9) between commit and invalidation, {times} times: the old value ")
    print(f"was last asked for {percentile(found, 50):.3f} s (median) and at most ", end="")
    print(f"{max(found):.3f} s after the commit; bound {LEASE_SECONDS} s and one request.")


def _staleness(port: int, database: str, redis: str) -> float:
    answers: list[Answer] = []
    stop = threading.Event()
    readers = [threading.Thread(target=_read, args=(port, answers, stop)) for _ in range(4)]
    for reader in readers:
        reader.start()
    committed = _doom(database, redis)
    time.sleep(AFTER)
    stop.set()
    for reader in readers:
        reader.join()
    newest = max(answer.shown[BOOK] for answer in answers)
    old = [a.began for a in answers if a.shown[BOOK] < newest and a.began > committed]
    if newest == min(answer.shown[BOOK] for answer in answers):
        raise SystemExit("the doomed write was never seen")
    return max(old, default=committed) - committed


def _read(port: int, answers: list[Answer], stop: threading.Event) -> None:
    wire = Wire(port)
    words, shown = one_book(BOOK)
    while not stop.is_set():
        began = time.monotonic()
        status, body = wire.ask(words)
        answers.append(Answer(began, time.monotonic(), None, status, shown=shown(body)))
        time.sleep(0.002)
    wire.close()


def _doom(database: str, redis: str) -> float:
    """Run the writer, and return when it had committed."""
    words = [sys.executable, "-m", "bench.writer_crash"]
    settings = environment(DATABASE_URL=database, REDIS_URL=redis)
    done = subprocess.run(
        words, env=settings, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != -signal.SIGKILL:
        raise SystemExit(f"the writer was to be killed: {done.returncode} {done.stderr}")
    return float(done.stdout)


def write_and_die() -> None:
    """Add a review, and die when its invalidation is to be delivered."""
    from wsgi import app  # noqa: PLC0415 - it takes its settings from the environment

    def die(*_: object) -> NoReturn:
        print(time.monotonic(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    RedisCache.forget = die  # type: ignore[method-assign]
    with app.app_context():
        services.add_review(BOOK, 5, "Ana", "Her last words.")


if __name__ == "__main__":
    write_and_die()
