"""Writers and readers over HTTP, who note every answer."""

import random
import secrets
import threading
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import orjson

from stress.caller import Caller
from stress.consistency.records import Records, Write
from stress.consistency.requests import Reader, Things
from stress.http_client import post, send
from stress.threads import Crew

LASTS = 40
"""Answers on one connection: the next is often another worker's."""
READ_PAUSE, WRITE_PAUSE, REST = 0.006, 0.08, 0.6
PRICES = count(1)
"""In cents. No price is set twice, so that none can be taken for another."""


class Clients(Crew):
    """Readers and writers in threads, until stopped.

    ``rest`` stops the writers for good; while ``writing`` is clear, they wait.
    """

    def __init__(self, port: int, seed: int, readers: int = 5, writers: int = 4) -> None:
        self.records = Records()
        self._port = port
        self._resting = threading.Event()
        self.writing = threading.Event()
        self.writing.set()
        self.things = _new_things(port)
        roles = [self._read] * readers + [self._write] * writers
        super().__init__(
            *(partial(role, random.Random(f"{seed} {at}")) for at, role in enumerate(roles))
        )

    def __exit__(self, *error: object) -> None:
        self.rest()
        super().__exit__(*error)

    def rest(self) -> None:
        """Let nothing be written any more."""
        self._resting.set()

    def _read(self, chance: random.Random) -> None:
        caller, reader = Caller(self._port, LASTS), Reader(self.things, chance)
        while not self.stopping.is_set():
            words, read = reader.next()
            began = time.monotonic()
            reply = caller.ask(words)
            if reply is None:
                self.records.broken.append(began)
            else:
                self.records.reads.append(read(reply))
            time.sleep(chance.uniform(0, 2 * READ_PAUSE))
        caller.close()

    def _write(self, chance: random.Random) -> None:
        caller = Caller(self._port, LASTS)
        etags: dict[int, str] = {}
        while self.writing.wait() and not self._resting.is_set():
            kind, thing, body, words = self._next_write(chance, etags)
            began = time.monotonic()
            reply = caller.ask(words)
            if reply is None:
                self.records.broken.append(began)
            elif kind != "review" and reply.etag:
                etags[thing] = reply.etag
            token = str(body.get("reason") or body.get("text") or body.get("price"))
            self.records.writes.append(Write(kind, thing, token, reply, body))
            # Now and then a rest: old answers are seen where they stay in the cache.
            pause = REST if chance.random() < 0.05 else chance.uniform(0, 2 * WRITE_PAUSE)
            self._resting.wait(pause)
        caller.close()

    def _next_write(
        self, chance: random.Random, etags: Mapping[int, str]
    ) -> tuple[str, int, dict[str, Any], bytes]:
        kind = chance.choice(["adjust", "adjust", "price", "review"])
        if kind == "review":
            book = chance.choice(self.things.books)
            review = {"rating": chance.randint(1, 5), "reviewer": "Ana", "text": _token()}
            return kind, book, review, post(f"/books/{book}/reviews", orjson.dumps(review))
        product = chance.choice(self.things.products)
        path = f"/products/{product}"
        if kind == "adjust":
            delta = chance.choice([-9, -3, -1, 1, 2, 8])
            move = {"delta": delta, "reason": _token()}
            return kind, product, move, post(f"{path}/stock-adjustments", orjson.dumps(move))
        cents = next(PRICES)
        change: dict[str, Any] = {"price": f"{cents // 100}.{cents % 100:02d}"}
        if chance.random() < 0.3:
            change["stock_level"] = chance.randint(0, 60)
        known = etags.get(product)
        match = {"If_Match": known} if known and chance.random() < 0.3 else {}
        return kind, product, change, send("PATCH", path, orjson.dumps(change), **match)


def _token() -> str:
    return secrets.token_hex(8)


def _new_things(port: int) -> Things:
    caller, word = Caller(port), _token()
    make = partial(_made, caller)
    products = [
        make("/products", {"sku": _token(), "name": f"{word} {n}", "price": "0", "stock_level": 30})
        for n in range(4)
    ]
    books = [make("/books", {"title": f"Book {n}", "author": word}) for n in range(2)]
    caller.close()
    return Things(products, books, word)


def _made(caller: Caller, path: str, body: Any) -> int:
    reply = caller.ask(post(path, orjson.dumps(body)))
    if reply is None or reply.status != 201:
        raise SystemExit(f"could not begin: {reply}")
    return int(orjson.loads(reply.body)["id"])
