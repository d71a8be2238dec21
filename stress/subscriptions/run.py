"""One run: servers, subscribers, writers, faults, and the verdict."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Sign

import orjson
from sqlalchemy import insert, select

from app.events.log import EventHead, StoredEvent
from bookreview.models import Book, Review, fold
from stack.servers import Postgres, Redis
from stress.data import engine_of, migrate
from stress.service import LiveService, Service
from stress.subscriptions.faults import Faults
from stress.subscriptions.records import Account, Records
from stress.subscriptions.subscribers import Crowd, Subscriber
from stress.subscriptions.verdict import Told, Truth, Verdict, judge
from stress.subscriptions.writers import Writers

BOOKS = 4
PATIENCE = 30.0


def storm(
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
    patience: float = 30.0,
    database: str | None = None,
) -> Verdict:
    """Run, and print and return what the judge found.

    ``patience`` is for the last events, which may come to the last subscriber when it has resumed;
    ``broken`` breaks the server on purpose, ``forgetful`` the subscribers.
    """
    print(f"storm: {reviews} reviews in {seconds:g} s, {workers} workers, seed {seed}", flush=True)
    application = "stress.subscriptions.broken:app" if broken else "asgi:app"
    settings = {"BROKEN": broken} if broken else {}
    with ExitStack() as stack:
        url = stack.enter_context(new_database(sqlite=sqlite, given=database))
        books = shelve(url)
        settings["DATABASE_URL"] = url
        server = stack.enter_context(Redis()) if redis else None
        if server is not None:
            settings["REDIS_URL"] = server.url
        live = stack.enter_context(LiveService(application, workers, **settings))
        rest = stack.enter_context(Service("wsgi:app", 1, **settings))
        records, calm = Records(), Sign()
        crowd = _subscribers(live.port, books, records, count=subscribers, seed=seed, calm=calm)
        for subscriber in crowd:
            subscriber.resumes = not forgetful
        chance = random.Random(f"{seed} delays")
        delays = [chance.uniform(0, seconds / 3) if one.account.asks else 0.0 for one in crowd]
        made = Faults(server, (live, rest), seed)
        writers = Writers((live.port, rest.port), books, records, seconds / reviews)
        with Crowd(crowd, delays):
            _warm_up(writers, records, len(books), seed)
            with made if faults else nullcontext():
                writers.post(reviews, seed)
            calm.set()
            _wait_for_the_last(url, records, patience)
        verdict = judge(records, [fault.kind for fault in made.made], _truth(url))
    print(verdict, flush=True)
    return verdict


@contextmanager
def new_database(*, sqlite: bool, given: str | None = None) -> Iterator[str]:
    """Give the URL of a migrated database, or the one that is given."""
    if given:
        yield given
    elif sqlite:
        with TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'storm.db'}"
            migrate(url)
            yield url
    else:
        with Postgres() as postgres:
            url = postgres.new_database("storm")
            migrate(url)
            yield url


def shelve(url: str) -> Sequence[int]:
    """Add the books, and return their ids."""
    engine = engine_of(url)
    with engine.begin() as connection:
        for number in range(BOOKS):
            words = f"Book {number}", "Ana Storm"
            values = {"title": words[0], "author": words[1], "folded": fold(*words)}
            connection.execute(insert(Book).values(values))
        return [row.id for row in connection.execute(select(Book.id).order_by(Book.id))]


def _subscribers(
    port: int, books: Sequence[int], records: Records, *, count: int, seed: int, calm: Sign
) -> list[Subscriber]:
    """Make them of every kind: both protocols, one book and all, with and without a cursor."""
    made = []
    for at in range(count):
        kind = ("ws", "sse")[at % 2]
        book = None if at // 2 % 2 else books[at // 4 % len(books)]
        account = Account(kind, book, asks=bool(at // 4 % 2))
        records.accounts.append(account)
        made.append(Subscriber(port, account, random.Random(f"{seed} subscriber {at}"), calm))
    return made


def _warm_up(writers: Writers, records: Records, least: int, seed: int) -> None:
    """Post until everybody who begins with the first event that comes has seen one."""
    deadline = time.monotonic() + PATIENCE
    rounds = 0
    while not all(account.asks or account.seen for account in records.accounts):
        if time.monotonic() > deadline:
            raise SystemExit("some subscribers see nothing at all")
        writers.post(least, seed - 1 - rounds)
        rounds += 1


def _wait_for_the_last(url: str, records: Records, patience: float) -> None:
    """Return when everybody has seen the last event of its topic, or is too late."""
    last = {event.book: event.position for event in _truth(url).events}
    deadline = time.monotonic() + patience
    for account in records.accounts:
        due = max(last.values()) if account.book is None else last.get(account.book, 0)
        while time.monotonic() < deadline and not (
            account.seen and account.seen[-1].position >= due
        ):
            time.sleep(0.05)
    time.sleep(0.5)  # for what comes twice


def _truth(url: str) -> Truth:
    """Read it past the service."""
    rows = select(StoredEvent.position, StoredEvent.payload).order_by(StoredEvent.position)
    with engine_of(url).connect() as connection:
        told = [(row.position, orjson.loads(row.payload)) for row in connection.execute(rows)]
        return Truth(
            connection.execute(select(EventHead.log)).scalar_one(),
            [Told(position, event["book_id"], event["id"]) for position, event in told],
            frozenset(connection.execute(select(Review.id)).scalars()),
        )
