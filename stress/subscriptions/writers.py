"""Those who post reviews, by REST and by GraphQL, over kept and over new connections."""

import random
import threading
import time
from collections.abc import Sequence

import orjson

from stress.caller import Caller, Reply
from stress.http_client import post
from stress.subscriptions.records import Posted, Records

ADD = """mutation Add($book: ID!, $rating: Int!, $text: String!) {
  addReview(bookId: $book, rating: $rating, reviewer: "Ana", text: $text) { id }
}"""
WRITERS = 4
LASTS = 5
"""Answers on one connection: the next is often another worker's."""


class Writers:
    """Threads that post until so many reviews are acknowledged."""

    def __init__(
        self, ports: Sequence[int], books: Sequence[int], records: Records, pause: float
    ) -> None:
        self._ports, self._books, self._records = ports, books, records
        self._pause = pause
        self._lock = threading.Lock()
        self._left = 0

    def post(self, reviews: int, seed: int) -> None:
        """Post, and return when that many more are acknowledged."""
        self._left = reviews
        threads = [
            threading.Thread(target=self._write, args=(random.Random(f"{seed} writer {at}"),))
            for at in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _write(self, chance: random.Random) -> None:
        callers = [Caller(port, LASTS) for port in self._ports]
        while self._take_one():
            how = chance.choice(["REST", "GraphQL"])
            done = _posted(chance.choice(callers), how, chance.choice(self._books), chance)
            self._records.posted.append(done)
            if done.review is None:
                with self._lock:
                    self._left += 1
            time.sleep(chance.uniform(0, 2 * self._pause * WRITERS))
        for caller in callers:
            caller.close()

    def _take_one(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


def _posted(caller: Caller, how: str, book: int, chance: random.Random) -> Posted:
    rating, text = chance.randint(1, 5), f"{chance.random()} ☂\n" + "word " * chance.randint(0, 60)
    if how == "REST":
        body = {"rating": rating, "reviewer": "Ana", "text": text}
        words = post(f"/books/{book}/reviews", orjson.dumps(body))
    else:
        variables = {"book": str(book), "rating": rating, "text": text}
        words = post("/graphql", orjson.dumps({"query": ADD, "variables": variables}))
    began = time.monotonic()
    reply = caller.ask(words)
    status = reply.status if reply else 0
    return Posted(how, began, time.monotonic(), status, _review(how, reply))


def _review(how: str, reply: Reply | None) -> int | None:
    if reply is None or reply.status not in {200, 201}:
        return None
    told = orjson.loads(reply.body)
    if how == "GraphQL":
        told = (told["data"] or {}).get("addReview") or {}
    return int(told["id"]) if "id" in told else None
