"""Readers and writers over HTTP, every answer with its times, and the verdict afterwards.

They share a few new books. A book's number of reviews only grows, so that an answer is stale
when it shows fewer than had been acknowledged before its request was sent. All times are of one
clock in one process.
"""

import secrets
import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Protocol, Self

import orjson

from stress.caller import Caller
from stress.http_client import Wire, get, post
from stress.threads import Crew

BOOKS = 3
REVIEW = orjson.dumps({"rating": 4, "reviewer": "Ana", "text": "Read in one night."})
QUIET = 1
"""A book that nobody writes to: its answers stay in the cache."""
READ_PAUSE, WRITE_PAUSE = 0.003, 0.03
"""Between two requests of one client, so that answers are cached, and read, between writes."""


@dataclass(frozen=True)
class Answer:
    """What one request led to: ``shown`` are the numbers of reviews that it told, by book."""

    began: float
    ended: float
    wrote: int | None
    status: int
    cache: str = ""
    shown: Mapping[int, int] = field(default_factory=dict)

    @property
    def hit(self) -> bool:
        """Tell whether it came from the cache."""
        return self.cache == "hit"

    @property
    def milliseconds(self) -> float:
        """Return how long it took."""
        return (self.ended - self.began) * 1000


@dataclass(frozen=True)
class Stale:
    """An answer that did not show a write that had been acknowledged ``seconds`` before."""

    answer: Answer
    seconds: float


def one_book(book: int) -> tuple[bytes, Callable[[bytes], Mapping[int, int]]]:
    """Ask for a book, which tells its own number."""
    return get(f"/books/{book}"), lambda body: {book: orjson.loads(body)["review_count"]}


def its_reviews(book: int) -> tuple[bytes, Callable[[bytes], Mapping[int, int]]]:
    """Ask for its reviews, with their total."""
    path = f"/books/{book}/reviews?limit=1&include_total=true"
    return get(path), lambda body: {book: orjson.loads(body)["total"]}


def all_books(author: str) -> tuple[bytes, Callable[[bytes], Mapping[int, int]]]:
    """Ask for the list of an author's books, which tells the numbers of all."""

    def shown(body: bytes) -> Mapping[int, int]:
        return {item["id"]: item["review_count"] for item in orjson.loads(body)["items"]}

    return get(f"/books?author={author}"), shown


class Clients(Crew):
    """Readers and writers in threads, until stopped; clear ``writing`` to hold up the writers."""

    def __init__(self, port: int, readers: int = 4, writers: int = 2) -> None:
        self.answers: list[Answer] = []
        self.broken = 0
        self.writing = threading.Event()
        self.writing.set()
        self._port = port
        self._author = secrets.token_hex(8)
        roles = [self._read] * readers + [self._write] * writers
        super().__init__(*(partial(role, at) for at, role in enumerate(roles)))

    def __enter__(self) -> Self:
        self._books = self._new_books()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self.writing.set()
        super().__exit__(*error)

    def _new_books(self) -> list[int]:
        """Add books without reviews, so that both ways to count them begin at zero."""
        wire = Wire(self._port)
        book = orjson.dumps({"title": "To be judged", "author": self._author})
        made = [wire.ask(post("/books", book))[1] for _ in range(BOOKS)]
        wire.close()
        return [orjson.loads(body)["id"] for body in made]

    def _read(self, at: int) -> None:
        listed = all_books(self._author)
        asks = [ask for book in self._books for ask in (one_book(book), its_reviews(book), listed)]
        asks += [one_book(QUIET), its_reviews(QUIET)]
        self._repeat([(words, None, shown) for words, shown in asks], at, READ_PAUSE)

    def _write(self, at: int) -> None:
        paths = {book: f"/books/{book}/reviews" for book in self._books}
        asks = [(post(path, REVIEW), book, _nothing) for book, path in paths.items()]
        self._repeat(asks, at, WRITE_PAUSE)

    def _repeat(
        self,
        asks: Sequence[tuple[bytes, int | None, Callable[[bytes], Mapping[int, int]]]],
        at: int,
        pause: float,
    ) -> None:
        caller = Caller(self._port)
        while not self.stopping.is_set():
            at += 1
            words, wrote, shown = asks[at % len(asks)]
            if wrote is not None:
                self.writing.wait()
            reply = caller.ask(words)
            if reply is None:
                self.broken += 1
                continue
            seen = shown(reply.body) if reply.status == 200 else {}
            times = reply.began, reply.ended
            self.answers.append(Answer(*times, wrote, reply.status, reply.cache, seen))
            time.sleep(pause)
        caller.close()

    def stale(self) -> list[Stale]:
        """Judge all answers."""
        counts: Counter[int] = Counter()
        acknowledged = Acknowledged()
        for answer in sorted(self.answers, key=lambda answer: answer.ended):
            if answer.wrote and answer.status == 201:
                counts[answer.wrote] += 1
                acknowledged.add(answer.wrote, answer.ended, counts[answer.wrote])
        found = ((answer, acknowledged.missing(answer)) for answer in self.answers)
        return [Stale(answer, answer.began - since) for answer, since in found if since is not None]


class Shown(Protocol):
    """What a judge needs to know of an answer."""

    @property
    def began(self) -> float:
        """When it was asked for."""

    @property
    def shown(self) -> Mapping[Any, int]:
        """What it showed: values that only grow, by the things they belong to."""


class Acknowledged:
    """What things had come to when writes were acknowledged, in the order of these."""

    def __init__(self) -> None:
        self._times: dict[Any, list[float]] = defaultdict(list)
        self._greatest: dict[Any, list[int]] = defaultdict(list)

    def add(self, thing: Any, ended: float, value: int) -> None:
        """Note that ``thing`` had come to ``value``; to be called in the order of ``ended``."""
        greatest = self._greatest[thing]
        self._times[thing].append(ended)
        greatest.append(max(value, greatest[-1] if greatest else value))

    def missing(self, answer: Shown) -> float | None:
        """Return when the first write was acknowledged that ``answer`` should show and does not."""
        firsts = [self._first_above(thing, value) for thing, value in answer.shown.items()]
        return min((first for first in firsts if first < answer.began), default=None)

    def _first_above(self, thing: Any, value: int) -> float:
        at = bisect_right(self._greatest[thing], value)
        times = self._times[thing]
        return times[at] if at < len(times) else inf


def _nothing(_: bytes) -> Mapping[int, int]:
    return {}
