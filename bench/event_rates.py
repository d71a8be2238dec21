"""Writers of different things with events, without them, and with one lock for all."""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import orjson

from bench.event_modes import EVENTS, LOCK, NONE
from bench.memory import add_products
from bench.table import print_table, spread
from stack.servers import Postgres, Redis
from stress.data import REVIEW, fill
from stress.http_client import HttpConnection, post
from stress.service import Service
from stress.threads import WorkerThreads

WRITERS, WORKERS = 8, 4
MODES = (NONE, EVENTS, LOCK)
TARGET = 0.9
MEMORY = Path("/dev/shm")
Rates = Mapping[str, list[float]]


def measure(quick: bool) -> None:
    """Measure on durable storage and in memory, and print both tables."""
    rounds, seconds = (3, 0.5) if quick else (15, 2.0)
    print(f"{WRITERS} writers by HTTP, each of a product or a book of its own, on {WORKERS} wsgi")
    print(f"workers, by turns in {rounds} rounds of {seconds:g} s. Writes a second, and the ratio")
    print("to writes without events, with the quartiles. Load average", end=" ")
    print(f"{os.getloadavg()[0]:.1f}.\n")
    rows: list[list[object]] = []
    for storage, folder in (("durable (fsync)", None), ("in memory (no fsync)", MEMORY)):
        with _postgres(folder) as postgres, Redis() as redis:
            rates = _measure(postgres, redis, rounds, seconds)
        for mode in MODES:
            ratios = [one / other for one, other in zip(rates[mode], rates[NONE], strict=True)]
            rows.append([f"{storage}, {mode}", f"{median(rates[mode]):,.0f}", spread(ratios)])
    print_table([f"PostgreSQL (target {TARGET} with events, durable)", "writes/s", "ratio"], rows)


@contextmanager
def _postgres(memory: Path | None) -> Iterator[Postgres]:
    with TemporaryDirectory(dir=memory) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user
        with Postgres(Path(folder) / "postgres", durable=memory is None) as postgres:
            yield postgres


def _measure(postgres: Postgres, redis: Redis, rounds: int, seconds: float) -> Rates:
    rates: dict[str, list[float]] = {mode: [] for mode in MODES}
    with ExitStack() as stack:
        services = {
            mode: stack.enter_context(_service(postgres, redis, number, mode))
            for number, mode in enumerate(MODES, 1)
        }
        for number in range(rounds + 1):
            for mode in random.sample(MODES, len(MODES)):
                rate = _rate(services[mode].port, seconds)
                if number:  # the first round warms up
                    rates[mode].append(rate)
    return rates


def _service(postgres: Postgres, redis: Redis, number: int, mode: str) -> Service:
    url = postgres.new_database(f"rates{number}")
    fill(url, books=WRITERS, reviews=0)
    add_products(url, WRITERS)
    settings = {"DATABASE_URL": url, "REDIS_URL": f"{redis.url.removesuffix('0')}{number}"}
    return Service(f"bench.event_modes:load('wsgi', '{mode}')", WORKERS, **settings)


def _rate(port: int, seconds: float) -> float:
    """Return the writes in each second of all writers together."""
    written = count()
    began = time.monotonic()
    with WorkerThreads(
        *(partial(_write, port, number, began + seconds, written) for number in range(WRITERS))
    ):
        pass
    return next(written) / (time.monotonic() - began)


def _write(port: int, number: int, stop_at: float, written: Iterator[int]) -> None:
    adjustment = orjson.dumps({"delta": 1, "reason": "delivery 42"})
    of_product = post(f"/products/{number + 1}/stock-adjustments", adjustment)
    message = post(f"/books/{number + 1}/reviews", REVIEW) if number % 2 else of_product
    connection = HttpConnection(port)
    while time.monotonic() < stop_at:
        response = connection.request(message)
        if response.status != 201:
            raise SystemExit(f"a write: {response.status}, {response.body[:200]!r}")
        next(written)
    connection.close()
