"""Two workers under load while Redis fails in several ways: errors, stale reads, latency."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

from app.cache.lease import LEASE_SECONDS
from bench import stampede
from bench.table import print_table
from stack.servers import Postgres, Redis
from stress.consistency.checker import Result, check
from stress.consistency.clients import Clients
from stress.consistency.history import History
from stress.data import create_unpooled_engine, fill
from stress.faults import fill_memory, freeze, freeze_repeatedly, restart, restart_empty
from stress.http_client import Response
from stress.service import Service
from stress.stats import percentile

FIRST_SECONDS = 0.5
"""The beginning of a fault, which has a column of its own."""
TOLERANCE = 0.2
"""What one request may take beside the lease on a busy machine."""
PAUSE, QUICK_PAUSE = 3.0, 0.5
"""Seconds of load before and after a fault."""
SEED = 1


@dataclass(frozen=True)
class RedisFault:
    """A fault that lasts for ``seconds``."""

    name: str
    inject: Callable[[Redis, float], None]
    seconds: float
    before: Callable[[Redis], None] = lambda _: None
    writes_continue: bool = True
    stale_seconds: float = 0.0
    """How late a read may be."""


FAULTS = [
    RedisFault("killed", restart_empty, 3),
    RedisFault("frozen", freeze, 10),
    RedisFault("restarted with old data", restart, 2, Redis.save),
    # No write follows whose invalidation would hide the old data.
    RedisFault("same, no writes", restart, 0, Redis.save, writes_continue=False),
    RedisFault("full", fill_memory, 3),
    RedisFault(
        "frozen 10 times for 0.15 s",  # longer than the timeout of Redis, shorter than the lease
        partial(freeze_repeatedly, rng=random.Random(SEED)),
        0.15,
        stale_seconds=LEASE_SECONDS + TOLERANCE,
    ),
]


@dataclass(frozen=True)
class FaultRun:
    """The result of one fault."""

    fault: RedisFault
    result: Result
    began: float
    repaired: float

    def reads(self, since: float, until: float) -> list[Response]:
        """Return the responses to reads that began in a period."""
        responses = (read.response for read in self.result.records.reads)
        return [one for one in responses if since <= one.began < until]

    @property
    def errors(self) -> int:
        """Return the number of 5xx responses."""
        return sum(status >= 500 for status in self.result.failures)

    @property
    def longest(self) -> float:
        """Return how late the latest read was, in seconds."""
        return max((stale.seconds for stale in self.result.stale), default=0.0)


def run(quick: bool) -> None:
    """Load the service during each fault; then measure a stampede."""
    with Postgres() as postgres, Redis() as redis:
        url = postgres.new_database("outages")
        fill(url, reviews=500)
        service = Service("wsgi:app", 2, DATABASE_URL=url)
        with service, Clients(service.port, SEED) as clients:
            time.sleep(QUICK_PAUSE if quick else PAUSE)
        without_redis = [read.response for read in clients.records.reads]
        with Service("wsgi:app", 2, DATABASE_URL=url, REDIS_URL=redis.url) as service:
            runs = [_inject(fault, service.port, url, redis, quick=quick) for fault in FAULTS]
            _print(runs, without_redis)
            stampede.run(service.port, postgres, url, redis)


def _inject(fault: RedisFault, port: int, url: str, redis: Redis, *, quick: bool) -> FaultRun:
    pause = QUICK_PAUSE if quick else PAUSE
    history = History(create_unpooled_engine(url))
    history.begin()
    with Clients(port, SEED) as clients:
        time.sleep(pause)
        fault.before(redis)
        time.sleep(pause)
        if not fault.writes_continue:
            clients.writing_allowed.clear()
            time.sleep(pause / 5)
        began = time.monotonic()
        fault.inject(redis, min(fault.seconds, 1.0) if quick else fault.seconds)
        repaired = time.monotonic()
        time.sleep(pause + 2.0)
        clients.writing_allowed.set()
        clients.end_writing()
        time.sleep(1.0)
    result = check(clients.records, (), history.read(), is_older=history.is_older)
    return FaultRun(fault, result, began, repaired)


def _print(runs: Sequence[FaultRun], without_redis: Sequence[Response]) -> None:
    print("\nTwo workers, 5 readers and 4 writers of the same products and books\n")
    heads = ["Redis", "requests", "5xx", "broken", "stale", "longest s", "lost", "writes"]
    print_table([*heads, "bypass s"], [_counts(one) for one in runs])
    print("\nReads: p50 / p99 in ms, and the part of hits\n")
    heads = ["Redis", "before", f"first {FIRST_SECONDS} s", "during", "after"]
    rows = [[one.fault.name, *_latencies(one)] for one in runs]
    print_table(heads, [*rows, ["not used", _format_reads(without_redis), "", "", ""]])
    errors = sum(one.errors for one in runs)
    print(f"\ntarget, no 5xx: {errors}, {'MISSED' if errors else 'met'}")
    for one in runs:
        limit = one.fault.stale_seconds
        outcome = "met" if one.longest <= limit else "MISSED"
        print(f"target, {one.fault.name}: stale by at most {limit} s: {one.longest:.3f}, {outcome}")


def _counts(one: FaultRun) -> list[object]:
    records = one.result.records
    # How long after the repair a response last bypassed the cache.
    bypassed = [
        read.began - one.repaired for read in one.reads(one.repaired, inf) if "redis" in read.cache
    ]
    return [
        one.fault.name,
        len(records.reads) + len(records.writes),
        one.errors,
        len(records.broken),
        len(one.result.stale),
        f"{one.longest:.3f}",
        len(one.result.lost) + len(one.result.inconsistent),
        sum(write.acknowledged for write in records.writes),
        f"{max(bypassed, default=0.0):.2f}",
    ]


def _latencies(one: FaultRun) -> Iterator[str]:
    first = one.began + FIRST_SECONDS
    yield _format_reads(one.reads(0.0, one.began))
    yield _format_reads(one.reads(one.began, first))
    yield _format_reads(one.reads(first, one.repaired))
    yield _format_reads(one.reads(one.repaired, inf))


def _format_reads(responses: Sequence[Response]) -> str:
    if not responses:
        return "-"
    times = [(one.ended - one.began) * 1000 for one in responses]
    hits = sum(one.is_hit for one in responses) / len(responses)
    return f"{percentile(times, 50):.1f} / {percentile(times, 99):.1f}, {hits:.0%}"
