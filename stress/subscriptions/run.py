"""Run servers, subscribers, writers and faults, and check what the subscribers received."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext

import orjson
from sqlalchemy import insert, select

from app.events.log import EventHead, StoredEvent
from bookreview.models import Book, Review, derive
from stack.servers import Redis
from stress.broken import application
from stress.data import create_unpooled_engine, new_database
from stress.service import LiveService, Service
from stress.subscriptions.checker import ExpectedEvent, ExpectedState, Result, check
from stress.subscriptions.faults import SubscriptionFaults
from stress.subscriptions.records import Records, SubscriberRecord
from stress.subscriptions.subscribers import Subscriber, SubscriberThread
from stress.subscriptions.writers import Writers
from stress.threads import WorkerThreads, wait_until

BOOKS = 4
TIMEOUT = 30.0


def check_subscriptions(
    *,
    seed: int,
    reviews: int = 500,
    seconds: float = 60.0,
    subscribers: int = 48,
    workers: int = 2,
    redis: bool = True,
    sqlite: bool = False,
    broken: str | None = None,
    forgetful: bool = False,
    faults: bool = True,
    timeout: float = TIMEOUT,
    database: str | None = None,
) -> Result:
    """Run, and print and return the result.

    ``timeout`` is for the last event to reach the last subscriber; ``broken`` breaks the service
    on purpose, and ``forgetful`` the subscribers, which then do not resume.
    """
    print(f"subscriptions: {reviews} reviews in {seconds:g} s, {workers} workers, seed {seed}")
    with ExitStack() as stack:
        url = stack.enter_context(new_database(sqlite=sqlite, given=database))
        books = add_books(url)
        settings = {"DATABASE_URL": url}
        server = stack.enter_context(Redis()) if redis else None
        if server is not None:
            settings["REDIS_URL"] = server.url
        live = LiveService(application("asgi", broken), workers, **settings)
        rest = Service(application("wsgi", broken), 1, **settings)
        stack.callback(live.close)
        stack.callback(rest.close)
        with WorkerThreads(live.start, rest.start):
            pass
        records, stay_connected = Records(), threading.Event()
        records.subscribers += _new_records(books, subscribers)
        clients = [
            Subscriber(
                live.port,
                record,
                random.Random(f"{seed} subscriber {number}"),
                stay_connected,
                resumes=not forgetful,
            )
            for number, record in enumerate(records.subscribers)
        ]
        rng = random.Random(f"{seed} delays")
        delays = [rng.uniform(0, seconds / 3) * one.uses_cursor for one in records.subscribers]
        injector = SubscriptionFaults(server, (live, rest), seed)
        writers = Writers((live.port, rest.port), books, records, seconds / reviews)
        with SubscriberThread(clients, delays):
            _warm_up(writers, records, len(books), seed)
            with injector if faults else nullcontext():
                writers.post(reviews, seed)
            stay_connected.set()
            _wait_for_last_events(url, records, timeout)
        result = check(records, [fault.name for fault in injector.injected], _read_state(url))
    print(result, flush=True)
    return result


def add_books(url: str) -> Sequence[int]:
    """Add books, and return their ids."""
    with create_unpooled_engine(url).begin() as connection:
        for number in range(BOOKS):
            title, author = f"Book {number}", "Jane Austen"
            values = {"title": title, "author": author, **derive(title, author)}
            connection.execute(insert(Book).values(values))
        return [row.id for row in connection.execute(select(Book.id).order_by(Book.id))]


def _new_records(books: Sequence[int], count: int) -> Iterator[SubscriberRecord]:
    """Combine both protocols, one book and all, with and without a cursor."""
    for number in range(count):
        book = None if number // 2 % 2 else books[number // 4 % len(books)]
        uses_cursor = bool(number // 4 % 2)
        yield SubscriberRecord(("ws", "sse")[number % 2], book, uses_cursor)


def _warm_up(writers: Writers, records: Records, reviews: int, seed: int) -> None:
    """Post until each subscriber without a cursor has received its first event."""
    deadline = time.monotonic() + TIMEOUT
    rounds = 0
    while not all(one.uses_cursor or one.events for one in records.subscribers):
        if time.monotonic() > deadline:
            raise SystemExit("some subscribers receive nothing")
        writers.post(reviews, seed - 1 - rounds)
        rounds += 1


def _wait_for_last_events(url: str, records: Records, timeout: float) -> None:
    """Wait until each subscriber has received the last event of its topic."""
    last: dict[int | None, int] = {}
    for event in _read_state(url).events:
        last[event.book] = last[None] = event.position

    def complete() -> bool:
        return all(
            one.events and one.events[-1].position >= last.get(one.book, 0)
            for one in records.subscribers
        )

    wait_until(complete, timeout, interval=0.05)
    time.sleep(0.5)  # for repeated events


def _read_state(url: str) -> ExpectedState:
    """Read the events from the database, without the service."""
    rows = select(StoredEvent.position, StoredEvent.payload).order_by(StoredEvent.position)
    with create_unpooled_engine(url).connect() as connection:
        events = [(row.position, orjson.loads(row.payload)) for row in connection.execute(rows)]
        return ExpectedState(
            connection.execute(select(EventHead.log)).scalar_one(),
            [ExpectedEvent(position, event["book_id"], event["id"]) for position, event in events],
            frozenset(connection.execute(select(Review.id)).scalars()),
        )
