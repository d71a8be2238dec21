"""Run servers, followers, writers and faults, and check what the followers received."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from sqlalchemy import Engine, func, select

from app.events.models import EventHead, StoredEvent
from stack.process import Server
from stack.servers import Postgres, Redis
from stress.broken import application
from stress.consistency.clients import KINDS, Clients
from stress.consistency.effects import Effects
from stress.consistency.history import History, show_time
from stress.data import create_unpooled_engine, migrate
from stress.http_client import HttpClient, get
from stress.service import LiveService, Service
from stress.subscriptions.checker import Result, check
from stress.subscriptions.faults import FeedFaults
from stress.subscriptions.followers import Follower, FollowerThread, Way
from stress.subscriptions.log_check import differences, disagreements
from stress.subscriptions.records import WEBHOOK, FollowerRecord, Shown, position_of
from stress.subscriptions.transports import SUBSCRIPTIONS, TRANSPORTS
from stress.subscriptions.webhooks import Deliverer
from stress.subscriptions.writers import Loads, Mutations
from stress.threads import WorkerThreads, wait_until

TIMEOUT = 60.0
SELECTIONS: Sequence[frozenset[str] | None] = (
    None,
    frozenset({"stock.changed"}),
    frozenset({"book.changed", "review.created", "review.deleted", "hold.created"}),
)
DELIVERERS = 2
Records = Sequence[FollowerRecord]


def check_subscriptions(
    *,
    seed: int,
    seconds: float = 60.0,
    followers: int = 48,
    writers: int = 8,
    workers: int = 2,
    redis: bool = True,
    sqlite: bool = False,
    broken: str | None = None,
    forgetful: bool = False,
    faults: bool = True,
    timeout: float = TIMEOUT,
    database: str | None = None,
    only_asgi: bool = False,
) -> Result:
    """Run, and print and return the result.

    ``timeout`` is for the last event to reach the last follower. ``broken`` breaks the service on
    purpose, and ``forgetful`` the followers, which then do not resume. ``database`` is the URL of
    a migrated one, whose server is not restarted. With ``only_asgi`` there are no other processes:
    no WSGI, no loaders and no webhooks.
    """
    print(f"subscriptions: {seconds:g} s, {workers} workers, seed {seed}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        postgres = None if database or sqlite else stack.enter_context(Postgres())
        url = database or (
            postgres.new_database("stress") if postgres else f"sqlite:///{folder}/db"
        )
        if not database:
            migrate(url)
        server = stack.enter_context(Redis()) if redis else None
        settings = {"DATABASE_URL": url, "WEBHOOK_PRIVATE_TARGETS": "true"}
        if server is not None:
            settings["REDIS_URL"] = server.url
        history = History(engine := create_unpooled_engine(url))
        history.begin()
        live = LiveService(application("asgi", broken), workers, **settings)
        rest = Service(application("wsgi", broken), 1, **settings)
        deliverers = [Deliverer(**settings) for _ in range(DELIVERERS)]
        servers: list[Server] = [live] if only_asgi else [live, rest, *deliverers]
        stack.callback(_run_all, [each.close for each in (live, rest, *deliverers)])
        _run_all([each.start for each in servers])
        ports = [live.port] if only_asgi else [live.port, rest.port]
        kinds = (*KINDS, Mutations)
        clients = [
            Clients(port, seed + n, readers=0, writers=writers // len(ports), kinds=kinds)
            for n, port in enumerate(ports)
        ]
        loads = Loads(folder, settings, seed)
        injector = FeedFaults(
            seed, live, rest, redis=server, postgres=postgres, deliverers=deliverers
        )
        names = [name for name in TRANSPORTS if not only_asgi or name != WEBHOOK]
        books = [one.resources.books[0] for one in clients]
        records = [*_new_records(names, books, followers)]
        stay_connected = threading.Event()
        with _follow(records, live.port, seed, seconds, stay_connected, resumes=not forgetful):
            # Nothing may be written while a webhook is created: it would not be known to be its.
            _wait_for([one for one in records if one.transport == WEBHOOK])
            with ExitStack() as writing:
                for one in clients if only_asgi else (*clients, loads):
                    writing.enter_context(one)
                _wait_for([one for one in records if not one.uses_cursor])
                with injector if faults else nullcontext():
                    time.sleep(seconds)
            stay_connected.set()
            _wait_for_last_events(engine, records, timeout)
        log, changes = _read_log(engine), history.read()
        writes = [write for each in clients for write in each.records.writes]
        with closing(HttpClient(live.port)) as client:
            log_errors = [
                *disagreements(log, changes),
                *differences(log, partial(_get, client)),
                *(f"acknowledged, and not stored: {one}" for one in Effects(changes, writes).lost),
                *_unnumbered(engine),
            ]
    acknowledged = (
        Counter(write.kind for write in writes if write.acknowledged and write.effects)
        + loads.ended
    )
    injected = [fault.name for fault in injector.injected]
    result = check(records, log, log_errors=log_errors, faults=injected, writes=acknowledged)
    print(result, flush=True)
    return result


def _run_all(tasks: Sequence[Callable[[], object]]) -> None:
    with WorkerThreads(*tasks):
        pass


def _new_records(
    transports: Sequence[str], books: Sequence[int], count: int
) -> Iterator[FollowerRecord]:
    """Combine each transport with each selection; subscriptions of a book are some of them."""
    combinations = [*product(SELECTIONS, transports)]
    for number in range(count):
        types, transport = combinations[number % len(combinations)]
        if transport in SUBSCRIPTIONS and number // len(transports) % 2:
            book, uses_cursor = books[number % len(books)], bool(number % 4)
            created = frozenset({"review.created"})
            yield FollowerRecord(transport, created, book, uses_cursor=uses_cursor)
        else:
            yield FollowerRecord(transport, types)


def _wait_for(records: Records) -> None:
    """Wait until each of these followers has a place in the log, from which nothing may miss."""
    if not wait_until(lambda: all(one.has_begun for one in records), TIMEOUT):
        raise SystemExit("some followers receive nothing")


def _follow(
    records: Records,
    port: int,
    seed: int,
    seconds: float,
    stay_connected: threading.Event,
    *,
    resumes: bool,
) -> FollowerThread:
    rng = random.Random(f"{seed} delays")
    followers: list[Follower] = []
    delays = []
    for number, record in enumerate(records):
        way = Way(port, random.Random(f"{seed} follower {number}"), stay_connected, resumes)
        followers.append(TRANSPORTS[record.transport](record, way))
        begins_at_once = record.transport == WEBHOOK or not record.uses_cursor
        delays.append(0.0 if begins_at_once else rng.uniform(0, seconds / 3))
    return FollowerThread(followers, delays)


def _wait_for_last_events(engine: Engine, records: Records, timeout: float) -> None:
    """Wait until each follower has received the last event that it asks for."""
    wait_until(lambda: not _unnumbered(engine), timeout, interval=0.1)
    log = _read_log(engine)

    def is_complete(record: FollowerRecord) -> bool:
        last = next((event for event in reversed(log) if record.selects(event)), None)
        return last is None or any(
            position_of(event) >= position_of(last) for event in record.events[-1:]
        )

    wait_until(lambda: all(map(is_complete, records)), timeout, interval=0.1)
    time.sleep(0.5)  # for repeated events


def _read_log(engine: Engine) -> list[Shown]:
    """Read the events from the database, without the service."""
    stored = StoredEvent
    columns = stored.position, stored.type, stored.created_at, stored.payload
    statement = select(*columns).where(stored.position.is_not(None)).order_by(stored.position)
    with engine.connect() as connection:
        log = connection.scalar(select(EventHead.log))
        return [
            {
                "cursor": f"{log}-{position}",
                "type": kind,
                "at": show_time(at),
                "data": orjson.loads(payload),
            }
            for position, kind, at, payload in connection.execute(statement)
        ]


def _unnumbered(engine: Engine) -> list[str]:
    statement = select(func.count()).where(StoredEvent.position.is_(None))
    with engine.connect() as connection:
        count = connection.scalar(statement)
    return [f"{count} events have no position"] if count else []


def _get(client: HttpClient, table: str, row: int) -> Mapping[str, Any] | None:
    request = get(f"/{table}s/{row}")
    # Again if it was on a connection of a worker that has just ended.
    response = client.request(request) or client.request(request)
    if response is None or response.status not in {200, 404}:
        raise SystemExit(f"{table} {row}: {response}")
    return orjson.loads(response.body) if response.status == 200 else None
