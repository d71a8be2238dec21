"""Writers and readers over HTTP that record every response."""

import random
import threading
import time
from collections.abc import Sequence
from functools import partial

from stress.consistency.books import Books
from stress.consistency.bulk import Bulk
from stress.consistency.holds import Holds
from stress.consistency.products import Products
from stress.consistency.records import Records
from stress.consistency.requests import (
    ReadRequest,
    Requests,
    Resources,
    WriteRequest,
    choose,
    new_token,
)
from stress.consistency.reviews import Reviews
from stress.consistency.stock import Stock
from stress.http_client import HttpClient
from stress.threads import WorkerThreads

REQUESTS_PER_CONNECTION = 40
READ_PAUSE, WRITE_PAUSE, LONG_PAUSE = 0.006, 0.08, 0.6
BROKEN_PAUSE = 0.1
"""After a connection broke: workers start sooner if nobody tries all the time."""
KINDS = (Products, Stock, Holds, Bulk, Books, Reviews)
PRODUCTS, BOOKS = 5, 6


class Clients(WorkerThreads):
    """Readers and writers; while ``writing_allowed`` is clear, the writers wait.

    ``moderator`` is an API key that may see hidden reviews.
    """

    def __init__(
        self,
        port: int,
        seed: int,
        *,
        readers: int = 5,
        writers: int = 4,
        moderator: str | None = None,
        kinds: Sequence[type[Requests]] = KINDS,
    ) -> None:
        self._kinds = kinds
        self.records = Records()
        self.resources = Resources(new_token(), moderator)
        self.writing_allowed = threading.Event()
        self.writing_allowed.set()
        self._writing_ended = threading.Event()
        self._port = port
        tasks = [self._read] * readers + [self._write] * writers
        super().__init__(
            *(partial(task, random.Random(f"{seed} {number}")) for number, task in enumerate(tasks))
        )
        self._create_resources(random.Random(f"{seed} resources"))

    def __exit__(self, *error: object) -> None:
        self.end_writing()
        super().__exit__(*error)

    def end_writing(self) -> None:
        """Stop the writers; the readers continue."""
        self._writing_ended.set()

    def _create_resources(self, rng: random.Random) -> None:
        client = HttpClient(self._port)
        products = Products(self.resources, rng)
        books, reviews = Books(self.resources, rng), Reviews(self.resources, rng)
        requests = [products.create() for _ in range(PRODUCTS)]
        requests += [books.create() for _ in range(BOOKS)]
        for request in requests:
            self._send(client, request)
        for book in self.resources.books:
            self._send(client, reviews.add(book))
        if not all(write.acknowledged for write in self.records.writes):
            raise SystemExit(f"not created: {self.records.writes}")
        client.close()

    def _read(self, rng: random.Random) -> None:
        client = HttpClient(self._port, REQUESTS_PER_CONNECTION)
        kinds = [kind(self.resources, rng) for kind in self._kinds]
        choices = {method: weight for kind in kinds for method, weight in kind.reads().items()}
        pages: list[ReadRequest] = []
        for kind in kinds:
            kind.next_pages = pages
        while not self.stopping.is_set():
            request = pages.pop() if pages else choose(rng, choices)
            if request is not None:
                self._request(client, request)
            time.sleep(rng.uniform(0, 2 * READ_PAUSE))
        client.close()

    def _request(self, client: HttpClient, request: ReadRequest) -> None:
        began = time.monotonic()
        response = client.request(request.message)
        if response is None:
            self._record_break(began)
        else:
            self.records.reads.append(request.read(response))

    def _write(self, rng: random.Random) -> None:
        client = HttpClient(self._port, REQUESTS_PER_CONNECTION)
        kinds = [kind(self.resources, rng) for kind in self._kinds]
        choices = {method: weight for kind in kinds for method, weight in kind.writes().items()}
        while self.writing_allowed.wait() and not self._writing_ended.is_set():
            request = choose(rng, choices)
            if request is not None:
                self._send(client, request)
            # After a long pause, responses that stayed in the cache are old enough to be noticed.
            pause = LONG_PAUSE if rng.random() < 0.05 else rng.uniform(0, 2 * WRITE_PAUSE)
            self._writing_ended.wait(pause)
        client.close()

    def _send(self, client: HttpClient, request: WriteRequest) -> None:
        began = time.monotonic()
        response = client.request(request.message)
        if response is None:
            self._record_break(began)
        self.records.writes.append(request.write(response))

    def _record_break(self, began: float) -> None:
        self.records.broken.append(began)
        self.stopping.wait(BROKEN_PAUSE)
