"""Reads of reviews and of lists of them; new reviews, corrections, hidden and deleted ones."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from stress.consistency.history import Values
from stress.consistency.lists import ListQuery, Page
from stress.consistency.records import Effect, Read
from stress.consistency.requests import (
    Choices,
    Outcome,
    ReadRequest,
    Requests,
    WriteRequest,
    body_of,
    new_token,
    shown_by,
)
from stress.consistency.timelines import Fact, is_absent, shows, where
from stress.http_client import Response, get, json_request

RECENT = 12
"""Corrections are made to so many reviews, so that some are changed often."""
SORT_SIGNS = {"newest": (0, -1), "oldest": (0, 1), "highest": (-1, -1), "lowest": (1, 1)}
"""Of the rating, which may not matter, and of the time."""


class Reviews(Requests):
    """Requests for reviews."""

    def reads(self) -> Choices:
        return {self._list: 1, self._get: 0.5}

    def writes(self) -> Choices:
        return {self._add: 1, self._correct: 0.4, self._moderate: 0.5, self._delete: 0.2}

    def _list(self) -> ReadRequest:
        book = self.rng.choice(self.resources.books)
        parameters = self.usual("reviews", self._choose_list)
        low = parameters.get("rating", parameters.get("min_rating", 1))
        ratings = range(low, low + 1 if "rating" in parameters else 6)
        selects, key = partial(_selects, book, ratings), partial(_key, parameters["sort"])
        path, query = f"/books/{book}/reviews", ListQuery("review", selects, key)
        return self.list_request(
            "reviews", path, parameters, query, show=shows, also=partial(_show_total, book, ratings)
        )

    def _choose_list(self) -> Values:
        return {
            "sort": self.rng.choice(["newest", *SORT_SIGNS]),
            "limit": self.rng.choice([3, 20]),
            "include_total": "true",
            **self.rng.choice([{}, {}, {"rating": 5}, {"min_rating": 3}]),
        }

    def _get(self) -> ReadRequest:
        review, key = self._recent(), self.resources.moderator
        path = f"/reviews/{review}"
        if key and self.rng.random() < 0.3:
            message = get(path, Authorization=f"Bearer {key}")
            return ReadRequest(message, partial(_read_as_moderator, review))
        return ReadRequest(get(path), partial(_read, review))

    def _add(self) -> WriteRequest:
        books = self.resources.books
        if self.rng.random() < 0.1:
            books = self.resources.removable_books[-3:] or books
        return self.add(self.rng.choice(books))

    def add(self, book: int) -> WriteRequest:
        """Return the request that adds a review."""
        body = {"rating": self.rng.randint(1, 5), "reviewer": "Ana", "text": new_token()}
        message = json_request("POST", f"/books/{book}/reviews", orjson.dumps(body))
        effect = Effect("review", {**body, "book_id": book})
        return WriteRequest("review", message, [effect], partial(self._read_new, effect))

    def _read_new(self, effect: Effect, response: Response) -> Outcome:
        if response.status == 404:
            return [effect], [Fact("book", effect.values["book_id"], where(is_absent))]
        self.resources.reviews.append(body_of(response)["id"])
        return _read_review(response)

    def _correct(self) -> WriteRequest:
        change = {"text": new_token(), "rating": self.rng.randint(1, 5)}
        if self.rng.random() < 0.3:
            del change["rating"]
        return self._patch("review corrected", change)

    def _moderate(self) -> WriteRequest:
        return self._patch("moderation", {"hidden": self.rng.random() < 0.5})

    def _patch(self, kind: str, change: Values) -> WriteRequest:
        review = self._recent()
        message = json_request("PATCH", f"/reviews/{review}", orjson.dumps(change))
        effect = Effect("review", change, review)
        return WriteRequest(kind, message, [effect], partial(_read_change, effect))

    def _delete(self) -> WriteRequest:
        review = self._recent()
        effect = Effect("review", {}, review)
        message = json_request("DELETE", f"/reviews/{review}", b"")
        return WriteRequest("review deleted", message, [effect], partial(_read_change, effect))

    def _recent(self) -> int:
        return self.rng.choice(self.resources.reviews[-RECENT:])


def _read(review: int, response: Response) -> Read:
    if response.status == 404:
        return Read(response, "review", [Fact("review", review, where(_is_not_visible))])
    if response.status != 200:
        return Read(response, "review")
    shown = {**shown_by(response), "hidden": False}
    return Read(response, "review", [Fact("review", review, shows(shown))])


def _read_as_moderator(review: int, response: Response) -> Read:
    if response.status == 404:
        return Read(response, "review", [Fact("review", review, where(is_absent))])
    if response.status != 200:
        return Read(response, "review")
    shown = {"hidden": False, **shown_by(response)}
    return Read(response, "review", [Fact("review", review, shows(shown))])


def _read_change(effect: Effect, response: Response) -> Outcome:
    if response.status in {204, 404}:
        return [effect], [Fact("review", effect.row or 0, where(is_absent))]
    return _read_review(response, effect.values)


def _read_review(response: Response, change: Values = {}) -> Outcome:  # noqa: B006
    review = {**change, **shown_by(response)}
    return [Effect("review", review, review["id"])], [Fact("review", review["id"], shows(review))]


def _show_total(book: int, ratings: range, page: Page) -> Sequence[Fact]:
    if page.total is None:
        return ()

    def is_total(values: Values) -> bool:
        stars = [int(values["stars"][str(rating)]) for rating in ratings]
        return page.total == sum(stars)

    return [Fact("book", book, where(lambda values: values and is_total(values)))]


def _selects(book: int, ratings: range, review: Values) -> bool:
    in_list = review["book_id"] == book and review["rating"] in ratings
    return in_list and not review.get("hidden")


def _key(sort: str, review: Values) -> Any:
    by_rating, by_time = SORT_SIGNS[sort]
    created_at = datetime.fromisoformat(review["created_at"]).timestamp()
    return by_rating * review["rating"], by_time * created_at, by_time * review["id"]


def _is_not_visible(review: Values) -> bool:
    return not review or bool(review["hidden"])
