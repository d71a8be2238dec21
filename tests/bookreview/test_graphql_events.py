"""The event cursor, and an event as the root of a subscription."""

from graphql import execute_sync, parse

from app.db.engine import autocommit_engine
from app.events import log as events
from app.factory import schema
from app.graphql.core_adapter import EventExecutor
from app.graphql.execution import format_result
from bookreview import graphql_schema as live
from tests.bookreview.graphql_client import REVIEW, WORDS, as_rest, code, data


def newest_event(app):
    with app.app_context():
        head = events.head(autocommit_engine())
        (event,) = events.newest(autocommit_engine(), head.position, 1)
    return event


def test_the_event_cursor_is_before_all_later_events(app, client, book, review):
    emma = book()
    review(emma)
    before = data(client, "{ eventCursor }")["eventCursor"]
    assert before == data(client, "{ eventCursor }")["eventCursor"]
    review(emma)
    with app.app_context():
        head = events.head(autocommit_engine())
    assert before == events.format_cursor(head.log, head.position - 1)


def test_an_event_is_executed_without_database_or_request(app, client, book):
    made = client.post(f"/books/{book(title='Emma')}/reviews", json=WORDS).json
    happened = newest_event(app)
    query = f"""subscription ($id: ID) {{
        reviewAdded(bookId: $id) {{ cursor review {{ {REVIEW} bookTitle }} }} }}"""
    root = live.review_event("a", happened)
    plain = execute_sync(schema, parse(query), root, variable_values={"id": "1"})
    assert plain.errors is None
    assert plain.data["reviewAdded"]["cursor"] == events.format_cursor("a", happened.position)
    assert as_rest(plain.data["reviewAdded"]["review"]) == {**made, "bookTitle": "Emma"}
    executor = EventExecutor(schema, parse(query), {"id": "1"})
    assert format_result(executor.execute(root)) == {"data": plain.data}


def test_an_event_of_an_older_release_has_no_title(app, client, book):
    client.post(f"/books/{book()}/reviews", json=WORDS)
    happened = newest_event(app)
    root = live.review_event("a", happened._replace(context=b"{}"))
    query = "subscription { reviewAdded { review { text bookTitle } } }"
    shown = execute_sync(schema, parse(query), root).data["reviewAdded"]["review"]
    assert shown == {"text": WORDS["text"], "bookTitle": None}


def test_a_subscription_by_post_is_rejected(client):
    assert code(client, "subscription { reviewAdded { cursor } }") == "BAD_REQUEST"
