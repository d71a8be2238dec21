"""Writers and readers over HTTP that record every response."""

import random
import secrets
import threading
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import orjson

from stress.consistency.records import Records, Write
from stress.consistency.requests import ReadRequests, Resources
from stress.http_client import HttpClient, json_request, post
from stress.threads import WorkerThreads

REQUESTS_PER_CONNECTION = 40
READ_PAUSE, WRITE_PAUSE, LONG_PAUSE = 0.006, 0.08, 0.6
PRICES = count(1)
"""In cents. No price is set twice, so each one identifies a write."""


class Clients(WorkerThreads):
    """Readers and writers; while ``writing_allowed`` is clear, the writers wait."""

    def __init__(self, port: int, seed: int, readers: int = 5, writers: int = 4) -> None:
        self.records = Records()
        self.resources = _create_resources(port)
        self.writing_allowed = threading.Event()
        self.writing_allowed.set()
        self._writing_ended = threading.Event()
        self._port = port
        tasks = [self._read] * readers + [self._write] * writers
        super().__init__(
            *(partial(task, random.Random(f"{seed} {number}")) for number, task in enumerate(tasks))
        )

    def __exit__(self, *error: object) -> None:
        self.end_writing()
        super().__exit__(*error)

    def end_writing(self) -> None:
        """Stop the writers; the readers continue."""
        self._writing_ended.set()

    def _read(self, rng: random.Random) -> None:
        client = HttpClient(self._port, REQUESTS_PER_CONNECTION)
        requests = ReadRequests(self.resources, rng)
        while not self.stopping.is_set():
            message, read = requests.next()
            began = time.monotonic()
            response = client.request(message)
            if response is None:
                self.records.broken.append(began)
            else:
                self.records.reads.append(read(response))
            time.sleep(rng.uniform(0, 2 * READ_PAUSE))
        client.close()

    def _write(self, rng: random.Random) -> None:
        client = HttpClient(self._port, REQUESTS_PER_CONNECTION)
        etags: dict[int, str] = {}
        while self.writing_allowed.wait() and not self._writing_ended.is_set():
            kind, resource, body, message = self._next_write(rng, etags)
            began = time.monotonic()
            response = client.request(message)
            if response is None:
                self.records.broken.append(began)
            elif kind != "review" and response.etag:
                etags[resource] = response.etag
            token = str(body.get("reason") or body.get("text") or body.get("price"))
            self.records.writes.append(Write(kind, resource, token, response, body))
            # After a long pause, responses that stayed in the cache are old enough to be noticed.
            pause = LONG_PAUSE if rng.random() < 0.05 else rng.uniform(0, 2 * WRITE_PAUSE)
            self._writing_ended.wait(pause)
        client.close()

    def _next_write(
        self, rng: random.Random, etags: Mapping[int, str]
    ) -> tuple[str, int, dict[str, Any], bytes]:
        kind = rng.choice(["adjust", "adjust", "price", "review"])
        if kind == "review":
            book = rng.choice(self.resources.books)
            review = {"rating": rng.randint(1, 5), "reviewer": "Ana", "text": _token()}
            return kind, book, review, post(f"/books/{book}/reviews", orjson.dumps(review))
        product = rng.choice(self.resources.products)
        path = f"/products/{product}"
        if kind == "adjust":
            delta = rng.choice([-9, -3, -1, 1, 2, 8])
            adjustment = {"delta": delta, "reason": _token()}
            message = post(f"{path}/stock-adjustments", orjson.dumps(adjustment))
            return kind, product, adjustment, message
        cents = next(PRICES)
        change: dict[str, Any] = {"price": f"{cents // 100}.{cents % 100:02d}"}
        if rng.random() < 0.3:
            change["stock_level"] = rng.randint(0, 60)
        etag = etags.get(product)
        headers = {"If_Match": etag} if etag and rng.random() < 0.3 else {}
        return kind, product, change, json_request("PATCH", path, orjson.dumps(change), **headers)


def _token() -> str:
    return secrets.token_hex(8)


def _create_resources(port: int) -> Resources:
    client, word = HttpClient(port), _token()
    create = partial(_create, client)
    products = [
        create(
            "/products", {"sku": _token(), "name": f"{word} {n}", "price": "0", "stock_level": 30}
        )
        for n in range(4)
    ]
    books = [create("/books", {"title": f"Book {n}", "author": word}) for n in range(2)]
    client.close()
    return Resources(products, books, word)


def _create(client: HttpClient, path: str, body: Any) -> int:
    response = client.request(post(path, orjson.dumps(body)))
    if response is None or response.status != 201:
        raise SystemExit(f"{path} cannot be created: {response}")
    return int(orjson.loads(response.body)["id"])
