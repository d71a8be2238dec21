"""The read requests of clients, and what their responses show."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from stress.consistency.records import Read, Resource, Timestamp
from stress.http_client import Response, get

ReadRequest = tuple[bytes, Callable[[Response], Read]]
"""A request, and a function that reads its response."""


@dataclass(frozen=True)
class Resources:
    """The products and books that all clients share and no one else writes to."""

    products: Sequence[int]
    books: Sequence[int]
    word: str
    """Part of the names of the products, and the author of the books."""


class ReadRequests:
    """Choose read requests at random."""

    def __init__(self, resources: Resources, rng: random.Random) -> None:
        self._resources = resources
        self._rng = rng
        self._etags: dict[int, str] = {}
        self._choices = (
            self._product, self._product, self._products, self._search, self._ledger,
            self._book, self._books, self._reviews,
        )  # fmt: skip

    def next(self) -> ReadRequest:
        """Return the next request."""
        return self._rng.choice(self._choices)()

    def _product(self) -> ReadRequest:
        product = self._rng.choice(self._resources.products)
        etag = self._etags.get(product)
        headers = {"If_None_Match": etag} if etag and self._rng.random() < 0.3 else {}

        def read(response: Response) -> Read:
            if response.status not in {200, 304}:
                return Read(response, "product", {})
            self._etags[product] = response.etag
            version = int(response.etag.strip('"'))
            timestamps: tuple[Timestamp, ...] = ()
            if response.status == 200:
                timestamps = ((product, orjson.loads(response.body)["updated_at"]),)
            return Read(response, "product", {("product", product): version}, timestamps)

        return get(f"/products/{product}", **headers), read

    def _products(self) -> ReadRequest:
        sort = self._rng.choice(["id", "name", "-price"])
        if self._rng.random() < 0.5:  # most changes of stock leave a page of one row valid
            return get(f"/products?limit=1&sort={sort}"), self._list_reader("page", whole=False)
        return get(f"/products?limit=100&sort={sort}"), self._list_reader("products")

    def _search(self) -> ReadRequest:
        path = f"/products/search?name={self._resources.word}"
        return get(path), self._list_reader("search")

    def _list_reader(self, kind: str, *, whole: bool = True) -> Callable[[Response], Read]:
        def read(response: Response) -> Read:
            # The database may contain the products of an earlier run.
            items = [one for one in _items(response) if one["id"] in self._resources.products]
            timestamps = tuple((item["id"], item["updated_at"]) for item in items)
            complete = len(items) == len(self._resources.products)
            consistent = complete or not whole or response.status != 200
            return Read(response, kind, {}, timestamps, consistent)

        return read

    def _ledger(self) -> ReadRequest:
        product = self._rng.choice(self._resources.products)
        limit = self._rng.choice([2, 50])

        def read(response: Response) -> Read:
            rows = _items(response)
            shown = {("ledger", product): rows[0]["id"]} if rows else {}
            return Read(response, "ledger", shown, consistent=is_continuous(rows))

        return get(f"/products/{product}/stock-adjustments?limit={limit}"), read

    def _book(self) -> ReadRequest:
        book = self._rng.choice(self._resources.books)

        def read(response: Response) -> Read:
            items = [orjson.loads(response.body)] if response.status == 200 else []
            return Read(response, "book", _review_counts(items))

        return get(f"/books/{book}"), read

    def _books(self) -> ReadRequest:
        request = get(f"/books?author={self._resources.word}")
        return request, lambda response: Read(response, "books", _review_counts(_items(response)))

    def _reviews(self) -> ReadRequest:
        book = self._rng.choice(self._resources.books)

        def read(response: Response) -> Read:
            rows = _items(response)
            shown: dict[Resource, int] = {("reviews", book): rows[0]["id"]} if rows else {}
            if response.status == 200:
                shown["book", book] = orjson.loads(response.body)["total"]
            return Read(response, "reviews", shown)

        return get(f"/books/{book}/reviews?limit=3&include_total=true"), read


def is_continuous(newest_first: Sequence[Any]) -> bool:
    """Return whether each row of a ledger follows from the previous one."""
    return all(
        row["stock_level"] == previous["stock_level"] + row["delta"]
        for row, previous in pairwise(newest_first)
    )


def _items(response: Response) -> list[Any]:
    return list(orjson.loads(response.body)["items"]) if response.status == 200 else []


def _review_counts(books: Sequence[Any]) -> dict[Resource, int]:
    return {("book", book["id"]): book["review_count"] for book in books}
