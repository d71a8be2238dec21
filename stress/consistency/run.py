"""Run servers, clients and faults, and check the responses."""

import time
from collections.abc import Collection
from contextlib import nullcontext

from stack.servers import Redis
from stress.broken import application
from stress.consistency.checker import Result, check
from stress.consistency.clients import Clients
from stress.consistency.expected import read_state
from stress.consistency.faults import ConsistencyFaults
from stress.consistency.watch import Watch
from stress.data import create_unpooled_engine, new_database
from stress.service import Service

RECOVERY_SECONDS = 3.0
"""Longer than a circuit breaker stays open: after it, the cache is in use again."""
READ_SECONDS = 1.0
"""The readers continue for so long after the last write."""


def check_consistency(
    *,
    seconds: float,
    seed: int,
    workers: int = 2,
    broken: str | None = None,
    faults: bool = True,
    only: Collection[str] = (),
    recovery: float = RECOVERY_SECONDS,
    postgres_url: str | None = None,
    pause: float | None = None,
    watch: bool = False,
) -> Result:
    """Run for so many seconds, and print and return the result.

    ``broken`` breaks the service on purpose; ``only`` selects faults by name, ``pause`` sets the
    seconds between those of Redis. ``watch`` prints what clients see in each second.
    """
    print(f"consistency: {seconds:g} s, {workers} workers, seed {seed}", flush=True)
    with new_database(given=postgres_url) as url, Redis() as redis:
        settings = {"DATABASE_URL": url, "REDIS_URL": redis.url}
        with Service(application("wsgi", broken), workers, **settings) as service:
            clients = Clients(service.port, seed)
            watcher = Watch(clients, create_unpooled_engine(url)) if watch else None
            announce = Watch.announce if watch else lambda _: None
            injector = ConsistencyFaults(
                redis,
                service,
                clients.writing_allowed,
                seed,
                only=only,
                pause=pause,
                announce=announce,
            )
            with clients, watcher or nullcontext():
                if faults:
                    with injector:
                        time.sleep(seconds)
                    time.sleep(recovery)
                else:
                    time.sleep(seconds)
                clients.end_writing()
                time.sleep(READ_SECONDS)
        state = read_state(create_unpooled_engine(url), clients.resources)
        result = check(clients.records, injector.injected, state)
    print(result, flush=True)
    return result
