"""Two workers under load while Redis fails in several ways: errors, stale answers, latency."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from app.cache.lease import LEASE_SECONDS
from bench import stampede
from bench import writer_crash as doomed
from bench.table import percentile, show
from stack.servers import Postgres, Redis
from stress.data import fill
from stress.faults import restrict
from stress.service import Service
from stress.staleness import Answer, Clients

FIRST = 0.5
"""Seconds after the beginning of a fault that are shown by themselves."""
STUTTER = 0.15
"""Longer than the time-out of an exchange, shorter than the lease."""
SLACK = 0.2
"""What one request may take beside the lease, on a busy machine."""


@dataclass(frozen=True)
class Fault:
    """What is done to Redis: at the beginning, and after ``seconds`` to mend it."""

    name: str
    begin: Callable[[Redis], None]
    mend: Callable[[Redis], None]
    seconds: float
    before: Callable[[Redis], None] = lambda _: None
    writes_go_on: bool = True


def _stutter(server: Redis) -> None:
    for _ in range(10):
        server.freeze()
        time.sleep(STUTTER)
        server.thaw()
        time.sleep(STUTTER)


def _forget(server: Redis) -> None:
    server.kill()
    server.wipe()


FAULTS = [
    Fault("killed", _forget, Redis.start, 3),
    Fault("frozen", Redis.freeze, Redis.thaw, 10),
    Fault("back with its old memory", Redis.kill, Redis.start, 2, before=Redis.save),
    # Nothing is written after the kill: no invalidation that comes late can hide the old memory.
    Fault("back so, no writes", Redis.kill, Redis.start, 0, before=Redis.save, writes_go_on=False),
    Fault("full", lambda redis: restrict(redis, 1), lambda redis: restrict(redis, 0), 3),
    Fault("stutters", _stutter, lambda _: None, 0),
]


def run(quick: bool) -> None:
    """Load the service under each fault, then look at the two hard cases."""
    calm = 0.5 if quick else 3.0
    with Postgres() as postgres, Redis() as redis:
        url = postgres.new_database("outages")
        fill(url, reviews=500)
        without = _without_redis(url, calm)
        with Service(workers=2, DATABASE_URL=url, REDIS_URL=redis.url) as service:
            rows = [_under(fault, service.port, redis, calm, quick) for fault in FAULTS]
            _print(rows, without)
            doomed.run(service.port, url, redis.url, 2 if quick else 10)
            stampede.run(service.port, postgres, url, redis)


def _without_redis(url: str, seconds: float) -> Sequence[Answer]:
    with Service(workers=2, DATABASE_URL=url) as service, Clients(service.port) as clients:
        time.sleep(seconds)
    return clients.answers


@dataclass(frozen=True)
class Verdict:
    """What a fault did."""

    fault: Fault
    clients: Clients
    began: float
    mended: float

    def reads(self, since: float, until: float) -> list[Answer]:
        """Return the reads that began in a stretch of time."""
        return [a for a in self.clients.answers if a.wrote is None and since <= a.began < until]


def _under(fault: Fault, port: int, redis: Redis, calm: float, quick: bool) -> Verdict:
    with Clients(port) as clients:
        time.sleep(calm)
        fault.before(redis)
        time.sleep(calm)
        if not fault.writes_go_on:
            clients.writing.clear()
            time.sleep(calm / 5)
        began = time.monotonic()
        fault.begin(redis)
        time.sleep(min(fault.seconds, 1.0) if quick else fault.seconds)
        fault.mend(redis)
        mended = time.monotonic()
        time.sleep(calm + 2.0)
    return Verdict(fault, clients, began, mended)


def _print(verdicts: Sequence[Verdict], without: Sequence[Answer]) -> None:
    print("\nTwo workers, 4 readers and 2 writers on the same three books\n")
    heads = ["Redis", "requests", "5xx", "broken", "stale", "longest s", "writes", "cache back s"]
    show(heads, [_counts(verdict) for verdict in verdicts])
    print("\nReads, p50 / p99 in ms, and how many of them were hits\n")
    heads = ["Redis", "before", f"first {FIRST} s", "during", "after"]
    rows = [[verdict.fault.name, *_latencies(verdict)] for verdict in verdicts]
    reads = [answer for answer in without if answer.wrote is None]
    show(heads, [*rows, ["none at all", _times(reads), "", "", ""]])
    for line in _judged(verdicts):
        print(line)


def _counts(verdict: Verdict) -> list[object]:
    answers, stale = verdict.clients.answers, verdict.clients.stale()
    failed = sum(answer.status >= 500 for answer in answers)
    longest = max((one.seconds for one in stale), default=0.0)
    writes = sum(answer.status == 201 for answer in answers)
    name, broken = verdict.fault.name, verdict.clients.broken
    return [
        name,
        len(answers),
        failed,
        broken,
        len(stale),
        f"{longest:.3f}",
        writes,
        _back(verdict),
    ]


def _back(verdict: Verdict) -> str:
    """Tell how long after the mending an answer last went around the cache."""
    past = [
        answer.began - verdict.mended
        for answer in verdict.reads(verdict.mended, float("inf"))
        if "redis" in answer.cache
    ]
    return f"{max(past, default=0.0):.2f}"


def _latencies(verdict: Verdict) -> Iterator[str]:
    began, mended = verdict.began, verdict.mended
    for since, until in (
        (0.0, began),
        (began, began + FIRST),
        (began + FIRST, mended),
        (mended, float("inf")),
    ):
        yield _times(verdict.reads(since, until))


def _times(answers: Sequence[Answer]) -> str:
    took = [answer.milliseconds for answer in answers]
    if not took:
        return "-"
    hits = sum(answer.hit for answer in answers) / len(answers)
    return f"{percentile(took, 50):.1f} / {percentile(took, 99):.1f}, {hits:.0%}"


def _judged(verdicts: Sequence[Verdict]) -> Iterator[str]:
    failed = [a for v in verdicts for a in v.clients.answers if a.status >= 500]
    yield f"\ntarget, no 5xx: {len(failed)}, {'met' if not failed else 'MISSED'}"
    for verdict in verdicts:
        longest = max((one.seconds for one in verdict.clients.stale()), default=0.0)
        bound = LEASE_SECONDS + SLACK if verdict.fault.name == "stutters" else 0.0
        met = "met" if longest <= bound else "MISSED"
        yield f"target, {verdict.fault.name}: stale for at most {bound} s: {longest:.3f}, {met}"
