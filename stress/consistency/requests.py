"""The questions of the readers, and what their answers show."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from stress.caller import Reply
from stress.consistency.records import Moment, Read, Thing
from stress.http_client import get


@dataclass(frozen=True)
class Things:
    """What all clients share: a few products and books that nobody else writes to."""

    products: Sequence[int]
    books: Sequence[int]
    word: str


class Reader:
    """Chooses questions, and reads the answers."""

    def __init__(self, things: Things, chance: random.Random) -> None:
        self._things = things
        self._chance = chance
        self._etags: dict[int, str] = {}
        self._asks = (
            self._product, self._product, self._products, self._search, self._ledger,
            self._book, self._books, self._reviews,
        )  # fmt: skip

    def next(self) -> tuple[bytes, Callable[[Reply], Read]]:
        """Return the next question, and how its answer is read."""
        return self._chance.choice(self._asks)()

    def _product(self) -> tuple[bytes, Callable[[Reply], Read]]:
        product = self._chance.choice(self._things.products)
        etag = self._etags.get(product)
        known = {"If_None_Match": etag} if etag and self._chance.random() < 0.3 else {}

        def read(reply: Reply) -> Read:
            if reply.status not in {200, 304}:
                return Read(reply, "product", {})
            self._etags[product] = reply.etag
            version = int(reply.etag.strip('"'))
            moments: tuple[Moment, ...] = ()
            if reply.status == 200:
                moments = ((product, orjson.loads(reply.body)["updated_at"]),)
            return Read(reply, "product", {("product", product): version}, moments)

        return get(f"/products/{product}", **known), read

    def _products(self) -> tuple[bytes, Callable[[Reply], Read]]:
        sort = self._chance.choice(["id", "name", "-price"])
        return get(f"/products?limit=100&sort={sort}"), self._listed("products")

    def _search(self) -> tuple[bytes, Callable[[Reply], Read]]:
        return get(f"/products/search?name={self._things.word}"), self._listed("search")

    def _listed(self, kind: str) -> Callable[[Reply], Read]:
        def read(reply: Reply) -> Read:
            items = _items(reply)
            moments = tuple((item["id"], item["updated_at"]) for item in items)
            missing = reply.status == 200 and {item["id"] for item in items} != {
                *self._things.products
            }
            return Read(reply, kind, {}, moments, torn=missing)

        return read

    def _ledger(self) -> tuple[bytes, Callable[[Reply], Read]]:
        product = self._chance.choice(self._things.products)
        limit = self._chance.choice([2, 50])

        def read(reply: Reply) -> Read:
            rows = _items(reply)
            shown = {("ledger", product): rows[0]["id"]} if rows else {}
            return Read(reply, "ledger", shown, torn=not adds_up(rows))

        return get(f"/products/{product}/stock-adjustments?limit={limit}"), read

    def _book(self) -> tuple[bytes, Callable[[Reply], Read]]:
        book = self._chance.choice(self._things.books)

        def read(reply: Reply) -> Read:
            one = [orjson.loads(reply.body)] if reply.status == 200 else []
            return Read(reply, "book", _counts(one))

        return get(f"/books/{book}"), read

    def _books(self) -> tuple[bytes, Callable[[Reply], Read]]:
        ask = get(f"/books?author={self._things.word}")
        return ask, lambda reply: Read(reply, "books", _counts(_items(reply)))

    def _reviews(self) -> tuple[bytes, Callable[[Reply], Read]]:
        book = self._chance.choice(self._things.books)

        def read(reply: Reply) -> Read:
            rows = _items(reply)
            shown: dict[Thing, int] = {("reviews", book): rows[0]["id"]} if rows else {}
            if reply.status == 200:
                shown["book", book] = orjson.loads(reply.body)["total"]
            return Read(reply, "reviews", shown)

        return get(f"/books/{book}/reviews?limit=3&include_total=true"), read


def adds_up(newest_first: Sequence[Any]) -> bool:
    """Tell whether each row of a ledger follows from the one before it."""
    return all(
        row["stock_level"] == old["stock_level"] + row["delta"]
        for row, old in pairwise(newest_first)
    )


def _items(reply: Reply) -> list[Any]:
    return list(orjson.loads(reply.body)["items"]) if reply.status == 200 else []


def _counts(books: Sequence[Any]) -> dict[Thing, int]:
    return {("book", book["id"]): book["review_count"] for book in books}
