"""Writes of the feed's things that the consistency checker does not make: GraphQL and loaders."""

import csv
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import orjson

from stress.consistency.history import Values
from stress.consistency.records import Effect
from stress.consistency.requests import Choices, Outcome, Requests, WriteRequest, body_of, new_token
from stress.http_client import Response, post
from stress.service import environment
from stress.threads import WorkerThreads

ADD_REVIEW = """mutation ($id: ID!, $rating: Int!, $text: String!) {
  addReview(bookId: $id, rating: $rating, reviewer: "Ana", text: $text) { id }
}"""
UPDATE_REVIEW = """mutation ($id: ID!, $rating: Int, $text: String) {
  updateReview(id: $id, rating: $rating, text: $text) { id }
}"""
HIDE_REVIEW = (
    "mutation ($id: ID!, $hidden: Boolean) { updateReview(id: $id, hidden: $hidden) { id } }"
)
DELETE_REVIEW = "mutation ($id: ID!) { deleteReview(id: $id) }"
UPDATE_BOOK = "mutation ($id: ID!, $title: String) { updateBook(id: $id, title: $title) { id } }"
DELETE_BOOK = "mutation ($id: ID!) { deleteBook(id: $id) }"
LOADED, ROWS = 120, 40
"""Each file has so many rows, of so many things."""
KILLED = 0.3
"""The part of the loaders that are killed, if they are still running after a random time. The last
one is killed too."""


class Mutations(Requests):
    """GraphQL mutations."""

    def writes(self) -> Choices:
        return {
            self._add: 1,
            self._correct: 0.4,
            self._moderate: 0.3,
            self._delete: 0.2,
            self._correct_book: 0.4,
            self._delete_book: 0.1,
        }

    def _add(self) -> WriteRequest:
        book = self.rng.choice(self.resources.books)
        values = {"rating": self.rng.randint(1, 5), "text": new_token()}
        effect = Effect("review", {**values, "book_id": book})
        return _mutation(ADD_REVIEW, book, values, effect, self._read_new)

    def _read_new(self, review: Values) -> None:
        self.resources.reviews.append(int(review["id"]))

    def _correct(self) -> WriteRequest:
        values = {"rating": self.rng.randint(1, 5), "text": new_token()}
        return self._change_review(UPDATE_REVIEW, values)

    def _moderate(self) -> WriteRequest:
        return self._change_review(HIDE_REVIEW, {"hidden": self.rng.random() < 0.5})

    def _delete(self) -> WriteRequest:
        return self._change_review(DELETE_REVIEW, {})

    def _change_review(self, query: str, values: Values) -> WriteRequest:
        review = self.rng.choice(self.resources.reviews[-6:])
        return _mutation(query, review, values, Effect("review", values, review))

    def _correct_book(self) -> WriteRequest:
        book, values = self.rng.choice(self.resources.books), {"title": new_token()}
        return _mutation(UPDATE_BOOK, book, values, Effect("book", values, book))

    def _delete_book(self) -> WriteRequest | None:
        if not self.resources.removable_books:
            return None
        book = self.rng.choice(self.resources.removable_books[-6:])
        return _mutation(DELETE_BOOK, book, {}, Effect("book", {}, book))


def _mutation(
    query: str,
    row: int,
    values: Values,
    effect: Effect,
    read: Callable[[Values], None] = lambda _: None,
) -> WriteRequest:
    body = orjson.dumps({"query": query, "variables": {"id": str(row), **values}})

    def read_response(response: Response) -> Outcome:
        shown = body_of(response)
        if shown.get("errors"):
            return [], []
        [result] = shown["data"].values()
        read(result)
        return [effect], []

    return WriteRequest("GraphQL", post("/graphql", body), [effect], read_response)


class Loads(WorkerThreads):
    """Runs the loaders by turns in processes of their own, and kills some of them."""

    def __init__(self, folder: Path, settings: Mapping[str, str], seed: int) -> None:
        self.ended: Counter[str] = Counter()
        self._file, self._settings = folder / "load.csv", settings
        super().__init__(partial(self._run_loads, random.Random(f"{seed} loads")))

    def _run_loads(self, rng: random.Random) -> None:
        while not self.stopping.wait(rng.uniform(0, 1)):
            kind = rng.choice([*CSV_ROWS])
            rows = [CSV_ROWS[kind](number, rng) for number in rng.sample(range(LOADED), ROWS)]
            with self._file.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
            self.ended[self._load(kind, rng)] += 1

    def _load(self, kind: str, rng: random.Random) -> str:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", kind, "load", str(self._file)]
        silent = subprocess.DEVNULL
        process = subprocess.Popen(
            [*command, *KEYS.get(kind, [])],
            env=environment(**self._settings),
            stdin=silent,
            stdout=silent,
            stderr=silent,
        )
        kill_at = time.monotonic() + (rng.uniform(1, 4) if rng.random() < KILLED else 120)
        while process.poll() is None:
            if time.monotonic() > kill_at or self.stopping.is_set():
                process.kill()
                process.wait()
                return f"{kind} killed"
            time.sleep(0.05)
        return f"{kind} {process.returncode}"


def _book(number: int, rng: random.Random) -> Values:
    title = rng.choice(["A house", "A garden", "A river"])
    return {"source_id": f"B{number}", "title": f"{title} {number}", "author": "Loader"}


def _review(number: int, rng: random.Random) -> Values:
    review = {"rating": rng.randint(1, 5), "reviewer": "Loader", "text": f"{rng.random():.1f}"}
    return {"source_id": f"R{number}", "book_source_id": f"B{number % 20}", **review}


def _product(number: int, rng: random.Random) -> Values:
    price, level = rng.choice(["9.00", "8.00"]), rng.randint(0, 3)
    return {"sku": f"LOAD-{number}", "name": "Loaded", "price": price, "stock_level": level}


CSV_ROWS: Mapping[str, Callable[[int, random.Random], Values]] = {
    "books": _book,
    "reviews": _review,
    "products": _product,
}
KEYS = {"books": ["--key", "source_id"]}
