"""Random simultaneous corrections on real workers: the counts of each book equal a recount."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.config import database_url

BOOKS, CLIENTS, WRITES = 3, 8, 40
ALLOWED = {
    "create": {201, 404},
    "update": {200, 404, 412},
    "hide": {200, 404},
    "show": {200, 404},
    "delete": {204, 404},
    "title": {200, 404, 412},
    "delete book": {204, 404, 409},
}
RECOUNT = """
    SELECT book.id, review_count, rating_sum, stars_1, stars_2, stars_3, stars_4, stars_5,
        count(r.id) AS n, coalesce(sum(r.rating), 0) AS total,
        coalesce(sum(CASE r.rating WHEN 1 THEN 1 END), 0) AS n1,
        coalesce(sum(CASE r.rating WHEN 2 THEN 1 END), 0) AS n2,
        coalesce(sum(CASE r.rating WHEN 3 THEN 1 END), 0) AS n3,
        coalesce(sum(CASE r.rating WHEN 4 THEN 1 END), 0) AS n4,
        coalesce(sum(CASE r.rating WHEN 5 THEN 1 END), 0) AS n5
    FROM book LEFT JOIN review AS r ON r.book_id = book.id AND NOT r.hidden
    GROUP BY book.id ORDER BY book.id
"""


@pytest.fixture(params=["wsgi", "asgi"])
def served(request, serve, serve_live, database):
    """The service with two workers of each kind; PostgreSQL with Redis, SQLite without."""
    start = {"wsgi": serve, "asgi": serve_live}[request.param]
    url = request.getfixturevalue("redis_url") if database.startswith("postgresql") else ""
    return start(DATABASE_URL=database, WEB_CONCURRENCY="2", **({"REDIS_URL": url} if url else {}))


def send(server, method, path, body=None, **headers):
    encoded = None if body is None else json.dumps(body).encode()
    status, sent, content = server.insist(method, path, encoded, **headers)
    return status, sent, json.loads(content) if content else None


class Client:
    """Sends random writes; ``reviews`` are the paths of all reviews that any client has made."""

    def __init__(self, server, reviews, seed):
        self.server = server
        self.reviews = reviews
        self.random = random.Random(seed)
        self.outcomes = Counter()

    def run(self):
        kinds = list(ALLOWED)
        for kind in self.random.choices(kinds, [8, 5, 4, 4, 3, 2, 1], k=WRITES):
            status = self.write(kind)
            assert status in ALLOWED[kind], (kind, status)
            self.outcomes[kind, status] += 1
        return self.outcomes

    def write(self, kind):
        book = f"/books/{self.random.randint(1, BOOKS)}"
        review = self.random.choice(self.reviews)
        rating = self.random.randint(1, 5)
        if kind == "create":
            body = {"rating": rating, "reviewer": "Ana", "text": "One of many."}
            status, headers, _ = send(self.server, "POST", f"{book}/reviews", body)
            self.reviews += [headers["Location"]] if status == 201 else []
            return status
        if kind == "delete book":
            return send(self.server, "DELETE", book)[0]
        if kind == "delete":
            return send(self.server, "DELETE", review)[0]
        if kind == "title":
            return self.change(book, {"title": f"Title {rating}"})
        if kind == "update":
            return self.change(review, {"rating": rating})
        return send(self.server, "PATCH", review, {"hidden": kind == "hide"})[0]

    def change(self, path, body):
        """Send every second change with the ETag of a read."""
        headers = {}
        if self.random.random() < 0.5:
            _, read, _ = send(self.server, "GET", path)
            headers = {"If_Match": read["ETag"]} if "ETag" in read else {}
        return send(self.server, "PATCH", path, body, **headers)[0]


def test_after_random_corrections_all_counts_equal_a_recount(served, database):
    for number in range(BOOKS):
        body = {"title": f"Book {number}", "author": "Jane Austen"}
        assert send(served, "POST", "/books", body)[0] == 201
        body = {"rating": 3, "reviewer": "Ana", "text": "Good."}
        assert send(served, "POST", f"/books/{number + 1}/reviews", body)[0] == 201
    reviews = [f"/reviews/{number + 1}" for number in range(BOOKS)]
    seed = random.randrange(10**6)
    clients = [Client(served, reviews, f"{seed}-{number}") for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        outcomes = sum(pool.map(Client.run, clients), Counter())
    assert {kind for kind, status in outcomes if status < 300} >= set(ALLOWED) - {"delete book"}

    engine = create_engine(database_url(database), poolclass=NullPool)
    with engine.connect() as connection:
        rows = connection.execute(text(RECOUNT)).all()
    for row in rows:
        assert row[1:8] == row[8:], (seed, row)
        shown = send(served, "GET", f"/books/{row.id}")[2]
        assert list(shown["stars"].values()) == list(row[3:8])
        assert shown["review_count"] == row.n
        average = round(row.total / row.n + 1e-9, 2) if row.n else None
        assert shown["average_rating"] == average
        listed = send(served, "GET", f"/books/{row.id}/reviews?limit=100&include_total=true")[2]
        assert listed["total"] == row.n
