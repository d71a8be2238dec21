"""Reads of books and of lists of them, in every order; corrections, new books and deleted ones."""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from app.text import fold
from bookreview.models import KEY_MAX
from stress.consistency.history import Values
from stress.consistency.lists import Descending, ListQuery
from stress.consistency.records import Effect, Read
from stress.consistency.requests import (
    Choices,
    Outcome,
    ReadRequest,
    Requests,
    Resources,
    WriteRequest,
    body_of,
    new_token,
    shown_by,
    version_of,
)
from stress.consistency.timelines import Fact, is_absent, shows, where
from stress.http_client import Response, get, json_request

SORT_NAMES = ("title", "author", "published_year", "average_rating", "review_count")
FILTERS: Sequence[Values] = (
    {},
    {},
    {"min_rating": 3},
    {"year_from": -300, "year_to": 1999},
    {"q": "stormy NIGHT"},
)
YEARS = (None, -300, 1999, 2000)
"""Few, so that many books have the same."""
SAME_BEGINNING = "It was a dark and stormy night. " * 7
"""Longer than the part of a title that is sorted by: with it, titles are equal sort keys."""


class Books(Requests):
    """Requests for books."""

    def __init__(self, resources: Resources, rng: random.Random) -> None:
        super().__init__(resources, rng)
        self._etags: dict[int, str] = {}

    def reads(self) -> Choices:
        return {self._get: 1, self._list: 1}

    def writes(self) -> Choices:
        return {self._correct: 0.5, self._add: 0.1, self._delete: 0.1}

    def _get(self) -> ReadRequest:
        book = self.rng.choice([*self.resources.books, *self.resources.removable_books[-3:]])
        etag = self._etags.get(book)
        headers = {"If_None_Match": etag} if etag and self.rng.random() < 0.2 else {}
        return ReadRequest(get(f"/books/{book}", **headers), partial(self._read, book))

    def _read(self, book: int, response: Response) -> Read:
        if response.status == 404:
            return Read(response, "book", [Fact("book", book, where(is_absent))])
        if response.status not in {200, 304}:
            return Read(response, "book")
        self._etags[book] = response.etag
        return Read(response, "book", [Fact("book", book, shows(shown_by(response)))])

    def _list(self) -> ReadRequest:
        parameters = self.usual("books", self._choose_list)
        query = ListQuery("book", partial(_selects, parameters), partial(_key, parameters["sort"]))
        return self.list_request("books", "/books", parameters, query, show=shows)

    def _choose_list(self) -> Values:
        sort = self.rng.choice(["id", *SORT_NAMES, *(f"-{name}" for name in SORT_NAMES)])
        filters = self.rng.choice(FILTERS)
        limit = self.rng.choice([1, 3, 100])
        return {"author": self.resources.word, "sort": sort, "limit": limit, **filters}

    def create(self, *, removable: bool = False) -> WriteRequest:
        """Return the request that adds a book."""
        body = {
            "title": self._title(),
            "author": self.resources.word,
            "published_year": self.rng.choice(YEARS),
        }
        message = json_request("POST", "/books", orjson.dumps(body))
        known = self.resources.removable_books if removable else self.resources.books
        return WriteRequest("book", message, [Effect("book", body)], partial(_read_new, known))

    def _title(self) -> str:
        return f"{SAME_BEGINNING if self.rng.random() < 0.5 else ''}{new_token()}"

    def _add(self) -> WriteRequest:
        return self.create(removable=True)

    def _correct(self) -> WriteRequest:
        book = self.rng.choice(self.resources.books)
        change: dict[str, Any] = {"title": self._title()}
        if self.rng.random() < 0.5:
            change["published_year"] = self.rng.choice(YEARS)
        if self.rng.random() < 0.3:
            change["author"] = self.resources.word + self.rng.choice(["", " Jr."])
        etag = self._etags.get(book) if self.rng.random() < 0.3 else None
        headers = {"If_Match": etag} if etag else {}
        message = json_request("PATCH", f"/books/{book}", orjson.dumps(change), **headers)
        effect = Effect("book", change, book)
        read = partial(self._read_change, effect, etag)
        return WriteRequest("book corrected", message, [effect], read)

    def _read_change(self, effect: Effect, etag: str | None, response: Response) -> Outcome:
        book = effect.row or 0
        if response.status == 412 and etag is not None:
            changed = where(lambda values: values and values["version"] != version_of(etag))
            return [effect], [Fact("book", book, changed)]
        if response.status != 200:
            return [effect], []
        self._etags[book] = response.etag
        return _read_book(response)

    def _delete(self) -> WriteRequest | None:
        if not self.resources.removable_books:
            return None
        book = self.rng.choice(self.resources.removable_books[-6:])
        effect = Effect("book", {}, book)
        message = json_request("DELETE", f"/books/{book}", b"")
        return WriteRequest("book deleted", message, [effect], partial(_read_deletion, effect))


def _read_new(known: list[int], response: Response) -> Outcome:
    if response.status == 201:
        known.append(body_of(response)["id"])
    return _read_book(response)


def _read_book(response: Response) -> Outcome:
    book = shown_by(response)
    return [Effect("book", book, book["id"])], [Fact("book", book["id"], shows(book))]


def _read_deletion(effect: Effect, response: Response) -> Outcome:
    exists = response.status == 409
    is_shown = where(bool) if exists else where(is_absent)
    return [effect], [Fact(effect.table, effect.row or 0, is_shown)]


def _selects(names: Mapping[str, Any], book: Values) -> bool:
    texts = fold(book["title"]), fold(book["author"])
    part = fold(names.get("q", ""))
    return (
        fold(names["author"]) in texts[1]
        and any(part in text for text in texts)
        and _is_between(names.get("min_rating"), book["average_rating"], None)
        and _is_between(names.get("year_from"), book["published_year"], names.get("year_to"))
    )


def _is_between(low: float | None, value: float | None, high: float | None) -> bool:
    if value is None:
        return low is None and high is None
    return (low is None or low <= value) and (high is None or value <= high)


def _key(sort: str, book: Values) -> Any:
    """Return the sort key; books without a year or without ratings are last in both orders."""
    name, descending, number = sort.removeprefix("-"), sort.startswith("-"), book["id"]
    if name in {"title", "author"}:
        text = fold(book[name])[:KEY_MAX]
        return (Descending(text), -number) if descending else (text, number)
    sign, value = -1 if descending else 1, number if name == "id" else book[name]
    return (value is None, sign * (value or 0), sign * number)
