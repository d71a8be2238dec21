"""Writers and followers of a service that runs, and the check of what the followers received."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import orjson
from sqlalchemy import Engine, func, select

from app.events.models import EventHead, StoredEvent
from stress.consistency.clients import KINDS, Clients
from stress.consistency.effects import Effects
from stress.consistency.history import History, show_time
from stress.consistency.records import Write
from stress.faults import FaultInjector
from stress.http_client import HttpClient, get
from stress.subscriptions.checker import Result, check
from stress.subscriptions.followers import Follower, FollowerThread, Way
from stress.subscriptions.log_check import differences, disagreements
from stress.subscriptions.records import WEBHOOK, FollowerRecord, Shown, position_of
from stress.subscriptions.transports import SUBSCRIPTIONS, TRANSPORTS
from stress.subscriptions.writers import Loads, Mutations
from stress.threads import wait_until

TIMEOUT = 60.0
SELECTIONS: Sequence[frozenset[str] | None] = (
    None,
    frozenset({"stock.changed"}),
    frozenset({"book.changed", "review.created", "review.deleted", "hold.created"}),
)
Records = Sequence[FollowerRecord]


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Writers, followers and loaders of a service that runs."""

    engine: Engine
    history: History
    seed: int
    ports: Sequence[int]
    """The writers are divided among them; the followers use the first one."""
    followers: int
    writers: int
    loads: Loads | None
    """Without it there are no webhooks either."""
    resumes: bool = True
    receiver: str = "127.0.0.1"
    """The address at which the followers receive webhooks."""

    def check(self, injector: FaultInjector | None, seconds: float, timeout: float) -> Result:
        """Run for so many seconds, compare what the followers received, and return the result."""
        kinds, writers = (*KINDS, Mutations), self.writers // len(self.ports)
        clients = [
            Clients(port, self.seed + n, readers=0, writers=writers, kinds=kinds)
            for n, port in enumerate(self.ports)
        ]
        names = [name for name in TRANSPORTS if self.loads or name != WEBHOOK]
        books = [one.resources.books[0] for one in clients]
        records = [*_new_records(names, books, self.followers)]
        stay_connected = threading.Event()
        with self._follow(records, seconds, stay_connected):
            # Nothing may be written while a webhook is created: it would not be known to be its.
            _wait_for([one for one in records if one.transport == WEBHOOK])
            with ExitStack() as writing:
                for one in (*clients, self.loads) if self.loads else clients:
                    writing.enter_context(one)
                _wait_for([one for one in records if not one.uses_cursor])
                with injector or nullcontext():
                    time.sleep(seconds)
            stay_connected.set()
            _wait_for_last_events(self.engine, records, timeout)
        writes = [write for each in clients for write in each.records.writes]
        done = Counter(write.kind for write in writes if write.acknowledged and write.effects)
        log = _read_log(self.engine)
        return check(
            records,
            log,
            log_errors=self._errors_of(log, writes),
            faults=[fault.name for fault in injector.injected] if injector else [],
            writes=done + self.loads.ended if self.loads else done,
        )

    def _follow(
        self, records: Records, seconds: float, stay_connected: threading.Event
    ) -> FollowerThread:
        rng = random.Random(f"{self.seed} delays")
        followers: list[Follower] = []
        delays = []
        for number, record in enumerate(records):
            own = random.Random(f"{self.seed} follower {number}")
            way = Way(self.ports[0], own, stay_connected, self.resumes, self.receiver)
            followers.append(TRANSPORTS[record.transport](record, way))
            begins_at_once = record.transport == WEBHOOK or not record.uses_cursor
            delays.append(0.0 if begins_at_once else rng.uniform(0, seconds / 3))
        return FollowerThread(followers, delays)

    def _errors_of(self, log: Sequence[Shown], writes: Sequence[Write]) -> list[str]:
        changes = self.history.read()
        with closing(HttpClient(self.ports[0])) as client:
            return [
                *disagreements(log, changes),
                *differences(log, partial(_get, client)),
                *(f"acknowledged, and not stored: {one}" for one in Effects(changes, writes).lost),
                *_unnumbered(self.engine),
            ]


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
    response = client.insist(get(f"/{table}s/{row}"), TIMEOUT, {200, 404})
    return orjson.loads(response.body) if response.status == 200 else None
