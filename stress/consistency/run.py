"""Run servers, clients and faults, and check the responses."""

import random
import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack, closing, nullcontext
from functools import partial

import orjson
from sqlalchemy import Engine, func, insert, select

from app.auth.api_keys import ApiKey, new_token
from app.cache.outbox import Outbox
from bookreview.models import Review
from stack.servers import Redis
from stress.broken import application
from stress.consistency.checker import Result, SelfCheck, check
from stress.consistency.clients import Clients
from stress.consistency.faults import WRITER_KILLED, ConsistencyFaults
from stress.consistency.history import History
from stress.consistency.records import Effect, Write
from stress.consistency.watch import Watch
from stress.data import create_unpooled_engine, new_database, new_replicated_database
from stress.faults import FaultInjector
from stress.http_client import HttpClient, Response, get
from stress.killed_writer import KilledWriter
from stress.service import LiveService, Service
from stress.threads import wait_until

SERVERS: Mapping[str, type[Service]] = {"asgi": LiveService, "wsgi": Service}
"""By worker of gunicorn, which is also the module of the application."""
DATABASES = ("postgresql", "sqlite")
RECOVERY_SECONDS = 3.0
"""Longer than a circuit breaker stays open: after it, the cache is in use again."""
PATIENT = "?socket_timeout=30&socket_connect_timeout=30"
"""Without faults Redis responds, on a busy machine sometimes later than the service would wait."""
DELIVERY_SECONDS = 20.0
"""Within it, a process that reads has delivered what is in the outbox, also on a busy machine."""
SELF_CHECK_METRICS = ("bookstall_cache_checked_total", "bookstall_cache_stale_total")
OUTCOMES = ("replica", "behind", "failed")
REPLICA_METRICS = [f'bookstall_replica_reads_total{{outcome="{name}"}}' for name in OUTCOMES]
READ_SECONDS = 1.0
"""The readers continue for so long after the last write."""


def check_consistency(
    *,
    seconds: float,
    seed: int,
    server: str = "asgi",
    database: str = "postgresql",
    workers: int = 2,
    broken: str | None = None,
    faults: bool = True,
    only: Collection[str] = (),
    recovery: float = RECOVERY_SECONDS,
    url: str | None = None,
    pause: float | None = None,
    watch: bool = False,
    self_check: bool = False,
    replica: bool = False,
) -> Result:
    """Run for so many seconds, and print and return the result.

    PostgreSQL is used with Redis, SQLite without. ``url`` is that of a migrated database to use.
    ``broken`` breaks the service on purpose; ``only`` selects faults by name, ``pause`` sets the
    seconds between those of Redis. ``watch`` prints what clients see in each second. With
    ``self_check`` the service compares each hit with the database, as far as it has the time.
    With ``replica`` it reads misses from a replica of a new database, which has faults of its own.
    """
    what = f"{server}, {database}, {workers} workers, seed {seed}"
    print(f"consistency: {seconds:g} s, {what}", flush=True)
    with ExitStack() as stack:
        standby = None
        if replica:
            url, standby = stack.enter_context(new_replicated_database())
        url = stack.enter_context(new_database(sqlite=database == "sqlite", given=url))
        settings = {"DATABASE_URL": url}
        redis = stack.enter_context(Redis()) if database != "sqlite" else None
        if redis is not None:
            settings["REDIS_URL"] = redis.url if faults else f"{redis.url}{PATIENT}"
        if standby is not None:
            settings["DATABASE_READ_URL"] = standby.url_for("stress")
        kills = redis is not None and faults and (not only or WRITER_KILLED in only)
        writer = stack.enter_context(KilledWriter(**settings)) if kills else None
        engine = create_unpooled_engine(url)
        history = History(engine)
        history.begin()
        moderator = create_moderator(engine)
        service = SERVERS[server](
            application(server, broken, check_hits=self_check), workers, **settings
        )
        stack.enter_context(service)
        clients = Clients(service.port, seed, moderator=moderator)
        injector = ConsistencyFaults(
            redis,
            service,
            clients.writing_allowed,
            seed,
            standby=standby,
            kill_writer=partial(_kill_writer, writer, clients, engine) if writer else None,
            only=only,
            pause=pause,
            announce=Watch.announce if watch else lambda _: None,
        )
        run_clients(
            clients,
            injector if faults else None,
            engine,
            seconds=seconds,
            recovery=recovery,
            watch=Watch(clients, history) if watch else None,
        )
        if standby is not None:
            misses = zip(OUTCOMES, _metrics(service, REPLICA_METRICS), strict=True)
            print("misses by where they were read:", *(f"{name} {n}" for name, n in misses))
        compared = _self_check(service) if self_check else None
        result = check(
            clients.records,
            injector.injected,
            history.read(),
            is_older=history.is_older,
            undelivered=undelivered(engine),
            self_check=compared,
        )
    print(result, flush=True)
    return result


def _self_check(service: Service) -> SelfCheck:
    """Return what the self-checks of all workers have found."""
    return SelfCheck(*_metrics(service, SELF_CHECK_METRICS))


def _metrics(service: Service, names: Iterable[str]) -> list[int]:
    """Return the values of metrics, of all workers."""
    with closing(HttpClient(service.port)) as client:
        page = client.insist(get("/metrics"), service.timeout).body.decode()
    found = [re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE) for name in names]
    return [int(float(each[1])) if each else 0 for each in found]


def run_clients(
    clients: Clients,
    injector: FaultInjector | None,
    engine: Engine,
    *,
    seconds: float,
    recovery: float = RECOVERY_SECONDS,
    watch: Watch | None = None,
) -> None:
    """Run clients and faults, then the readers alone until all invalidations are delivered."""
    with ExitStack() as load:
        load.enter_context(clients)
        if watch is not None:
            load.enter_context(watch)
        with injector or nullcontext():
            time.sleep(seconds)
        if injector is not None:
            time.sleep(recovery)
        clients.end_writing()
        wait_until(lambda: not undelivered(engine), DELIVERY_SECONDS, READ_SECONDS / 10)
        time.sleep(READ_SECONDS)


def _kill_writer(
    writer: KilledWriter, clients: Clients, engine: Engine, rng: random.Random
) -> None:
    """Add a review whose writer is killed; record it as acknowledged when it was committed."""
    clients.writing_allowed.wait()
    book, text = rng.choice(clients.resources.books), secrets.token_hex(8)
    began = time.monotonic()
    committed = writer.add_review(book, text)
    with engine.connect() as connection:
        review = connection.scalar(select(Review.id).where(Review.text == text))
    response = Response(began, committed, 201, "", "", orjson.dumps({"id": review}))
    effect = Effect("review", {"text": text, "book_id": book}, review)
    clients.records.writes.append(Write("review", response, [effect]))


def create_moderator(engine: Engine) -> str:
    """Add an API key that may see hidden reviews, and return it."""
    token, public, digest = new_token()
    key = {"name": "moderator", "public": public, "digest": digest, "scopes": ["reviews:moderate"]}
    with engine.begin() as connection:
        connection.execute(insert(ApiKey), key)
    return token


def undelivered(engine: Engine) -> int:
    """Return how many invalidations are in the outbox. On SQLite it is the log of all changes."""
    if engine.dialect.name == "sqlite":
        return 0
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(Outbox)) or 0
