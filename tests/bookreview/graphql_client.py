"""Send GraphQL requests to a test client, and see the statements that they cost."""

import threading

from sqlalchemy import event

from app.db.engine import autocommit_engine

BOOK = (
    "id title author isbn publishedYear reviewCount averageRating createdAt stars { rating count }"
)
REVIEW = "id bookId rating reviewer text createdAt"
PAGE = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
ADD = (
    "mutation Add($bookId: ID!, $rating: Int!, $reviewer: String!, $text: String!) {"
    " addReview(bookId: $bookId, rating: $rating, reviewer: $reviewer, text: $text)"
    " { id bookId rating reviewer text createdAt } }"
)
WORDS = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}


def ask(client, query, **variables):
    response = client.post("/graphql", json={"query": query, "variables": variables})
    assert response.status_code == 200, response.text
    return response.json


def data(client, query, **variables):
    response = ask(client, query, **variables)
    assert "errors" not in response, response
    return response["data"]


def error(client, query, **variables):
    (error,) = ask(client, query, **variables)["errors"]
    return error


def code(client, query, **variables):
    return error(client, query, **variables)["extensions"]["code"]


def as_rest(thing):
    """Name the members as REST does."""
    names = {"publishedYear": "published_year", "reviewCount": "review_count"}
    names |= {"averageRating": "average_rating", "createdAt": "created_at", "bookId": "book_id"}
    ids = {"id", "bookId"}
    shown = {names.get(k, k): int(v) if k in ids else v for k, v in thing.items()}
    if "stars" in shown:
        shown["stars"] = {str(found["rating"]): found["count"] for found in shown["stars"]}
    return shown


class Statements(list):
    """The statements that this thread sends the database of an app, while this is open.

    The thread that gives positions to new events sends others.
    """

    def __init__(self, app):
        super().__init__()
        self.thread = threading.get_ident()
        with app.app_context():
            self.engine = autocommit_engine()

    def __enter__(self):
        event.listen(self.engine, "before_cursor_execute", self.note)
        return self

    def __exit__(self, *_):
        event.remove(self.engine, "before_cursor_execute", self.note)

    def note(self, connection, cursor, statement, *_):
        is_own = threading.get_ident() == self.thread
        if is_own and not statement.startswith(("BEGIN", "SELECT 1")):
            self.append(statement)
