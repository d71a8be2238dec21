"""Writers that add reviews by REST and by GraphQL, on persistent and on new connections."""

import random
import threading
import time
from collections.abc import Sequence
from functools import partial

import orjson

from stress.http_client import HttpClient, Response, post
from stress.subscriptions.records import PostedReview, Records
from stress.threads import WorkerThreads

ADD_REVIEW = """mutation Add($book: ID!, $rating: Int!, $text: String!) {
  addReview(bookId: $book, rating: $rating, reviewer: "Ana", text: $text) { id }
}"""
WRITERS = 4
REQUESTS_PER_CONNECTION = 5


class Writers:
    """Threads that post until a number of reviews is acknowledged."""

    def __init__(
        self, ports: Sequence[int], books: Sequence[int], records: Records, pause: float
    ) -> None:
        self._ports, self._books, self._records = ports, books, records
        self._pause = pause
        self._lock = threading.Lock()
        self._missing = 0

    def post(self, reviews: int, seed: int) -> None:
        """Post, and return when that many more reviews are acknowledged."""
        self._missing = reviews
        rngs = [random.Random(f"{seed} writer {number}") for number in range(WRITERS)]
        with WorkerThreads(*(partial(self._write, rng) for rng in rngs)):
            pass

    def _write(self, rng: random.Random) -> None:
        clients = [HttpClient(port, REQUESTS_PER_CONNECTION) for port in self._ports]
        while self._take_one():
            api = rng.choice(["REST", "GraphQL"])
            posted = _post_review(rng.choice(clients), api, rng.choice(self._books), rng)
            self._records.posted.append(posted)
            if posted.review is None:
                with self._lock:
                    self._missing += 1
            time.sleep(rng.uniform(0, 2 * self._pause * WRITERS))
        for client in clients:
            client.close()

    def _take_one(self) -> bool:
        with self._lock:
            self._missing -= 1
            return self._missing >= 0


def _post_review(client: HttpClient, api: str, book: int, rng: random.Random) -> PostedReview:
    rating, text = rng.randint(1, 5), f"{rng.random()} ☂\n" + "word " * rng.randint(0, 60)
    if api == "REST":
        body = {"rating": rating, "reviewer": "Ana", "text": text}
        message = post(f"/books/{book}/reviews", orjson.dumps(body))
    else:
        variables = {"book": str(book), "rating": rating, "text": text}
        message = post("/graphql", orjson.dumps({"query": ADD_REVIEW, "variables": variables}))
    response = client.request(message)
    status = response.status if response else 0
    return PostedReview(api, time.monotonic(), status, _review_id(api, response))


def _review_id(api: str, response: Response | None) -> int | None:
    if response is None or response.status not in {200, 201}:
        return None
    body = orjson.loads(response.body)
    if api == "GraphQL":
        body = (body["data"] or {}).get("addReview") or {}
    return int(body["id"]) if "id" in body else None
