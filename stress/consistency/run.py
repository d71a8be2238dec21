"""One run: servers, clients, faults, and the verdict."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from stack.servers import Postgres, Redis
from stress.consistency import expected as truth
from stress.consistency.clients import Clients
from stress.consistency.faults import Faults
from stress.consistency.verdict import Verdict, judge
from stress.data import engine_of, migrate
from stress.service import Service

SETTLE = 3.0
"""Longer than a breaker's period and a held row's: after it, the cache is in use again."""
READ_ON = 1.0


def torture(
    *,
    seconds: float,
    seed: int,
    workers: int = 2,
    broken: str | None = None,
    faults: bool = True,
    only: Collection[str] = (),
    postgres_url: str | None = None,
) -> Verdict:
    """Run for so long, and print and return what the judge found.

    ``only`` names the kinds of faults to be made, if not all.
    """
    print(f"torture: {seconds:g} s, {workers} workers, seed {seed}", flush=True)
    application = "stress.consistency.broken:app" if broken else "wsgi:app"
    settings = {"BROKEN": broken} if broken else {}
    with _database(postgres_url) as url, Redis() as redis:
        settings |= {"DATABASE_URL": url, "REDIS_URL": redis.url}
        with Service(application, workers, **settings) as service:
            clients = Clients(service.port, seed)
            made = Faults(redis, service, clients.writing, seed, only)
            with clients:
                if faults:
                    with made:
                        time.sleep(seconds)
                    time.sleep(SETTLE)
                else:
                    time.sleep(seconds)
                clients.rest()
                time.sleep(READ_ON)
        verdict = judge(clients.records, made.made, truth.read(engine_of(url), clients.things))
    print(verdict, flush=True)
    return verdict


@contextmanager
def _database(given: str | None) -> Iterator[str]:
    if given:
        yield given
        return
    with Postgres() as postgres:
        url = postgres.new_database("torture")
        migrate(url)
        yield url
