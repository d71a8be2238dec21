"""Requests and documents that several modules need."""

import time
from itertools import cycle, islice

from sqlalchemy import text

from app.auth.api_keys import MISS_CACHE_SECONDS
from app.extensions import db

GRAPHQL_JSON = "application/graphql-response+json"
BOOKS = "{ books { nodes { id } } }"
ADD = 'mutation { addReview(bookId: 1, rating: 4, reviewer: "Ana", text: "Good.") { id } }'


def ask(client, query, headers=None, **members):
    return client.post("/graphql", json={"query": query, **members}, headers=headers)


def codes(response):
    return [error["extensions"]["code"] for error in response.json["errors"]]


def refused(client, query, **members):
    """Return the codes of a request that is not executed; 400 with the media type of GraphQL."""
    response = ask(client, query, **members)
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert "data" not in response.json
    exact = ask(client, query, {"Accept": GRAPHQL_JSON}, **members)
    assert (exact.status_code, exact.mimetype) == (400, GRAPHQL_JSON)
    assert exact.json == response.json
    return codes(response)


def make_key(app, *scopes):
    options = [part for name in scopes for part in ("--scope", name)]
    created = app.test_cli_runner().invoke(args=["keys", "create", "a test", *options])
    time.sleep(MISS_CACHE_SECONDS)
    return {"Authorization": f"Bearer {created.stdout.strip()}"}


def reviews(app):
    with app.app_context(), db.engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM review")).scalar()


def nested(depth):
    return "{ a " * depth + "}" * depth


NAMES = ["id", "title", "author", "isbn", "reviewCount", "averageRating", "createdAt"]
NAMES += ["publishedYear", "__typename"]


def fields(number):
    """Select so many; of one name in one place not too many to be compared."""
    half = (number - 3) // 2
    one, other = (" ".join(islice(cycle(NAMES), size)) for size in (half, number - 3 - half))
    return f"{{ book(id: 1) {{ {one} }} books {{ nodes {{ {other} }} }} }}"


def aliases(count):
    return f"{{ book(id: 1) {{ {' '.join(f'a{n}: id' for n in range(count))} }} }}"


def roots(count):
    return f"{{ {'eventCursor ' * count} }}"


def bomb(levels):
    """Spread twice at each level: 2 to the power of ``levels`` in the end."""
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return f"{{ ...F0 }} {chain} fragment F{levels} on Query {{ __typename }}"


def spread(*fragments, kind="Book"):
    """Spread all fragments side by side."""
    defined = " ".join(f"fragment F{n} on {kind} {{ {f} }}" for n, f in enumerate(fragments))
    return " ".join(f"...F{n}" for n in range(len(fragments))), defined


def of_book(selections, fragments=""):
    return f"{{ book(id: 1) {{ {selections} }} }} {fragments}"


def operations(number, selections, variables=""):
    return " ".join(f"query Q{n}{variables} {{ {selections} }}" for n in range(number))
