"""GET /changes in pages, as a client sees them."""

from datetime import datetime

import pytest

from app.changes import pages
from app.db.engine import autocommit_engine
from app.events import log
from app.events.log import NewEvent
from app.extensions import db

TYPES = ("stock.changed", "book.changed", "review.created")


@pytest.fixture
def write(app):
    """Commit events of these types, and return the cursors of all events of the log."""

    def commit(*types):
        with app.app_context():
            log.append([NewEvent(kind, "product:1", {"number": n}) for n, kind in enumerate(types)])
            db.session.commit()
            head = log.head(autocommit_engine())
        return [log.format_cursor(head.log, n) for n in range(1, head.position + 1)]

    return commit


@pytest.fixture
def purge(app):
    """Remove the events before a position."""

    def remove(position):
        with app.app_context():
            db.session.execute(db.text(f"DELETE FROM event WHERE position < {position}"))
            db.session.commit()

    return remove


def read_all(client, query=""):
    """Return the items of all pages, and how many pages there were."""
    items, count, page = [], 0, {"cursor": None, "has_more": True}
    while page["has_more"]:
        after = f"&after={page['cursor']}" if page["cursor"] else ""
        page = client.get(f"/changes?{query}{after}").json
        items += page["items"]
        count += 1
    return items, count


def test_the_pages_are_the_whole_log(client, write):
    cursors = write(*TYPES * 15)
    items, count = read_all(client, "limit=20")
    assert [item["cursor"] for item in items] == cursors
    assert [item["type"] for item in items] == [*TYPES * 15]
    assert count == 3
    assert read_all(client, "limit=1000") == (items, 1)


def test_an_event_has_its_type_its_time_and_the_thing_as_rest_shows_it(client):
    shown = client.post("/products", json={"sku": "L", "name": "Lamp", "price": "9.9"}).json
    (event,) = client.get("/changes?type=product.created").json["items"]
    assert event.keys() == {"cursor", "type", "at", "data"}
    assert event["data"] == shown
    assert datetime.fromisoformat(event["at"]).tzinfo


def test_an_empty_log_has_a_cursor(client, write):
    empty = client.get("/changes").json
    assert (empty["items"], empty["has_more"]) == ([], False)
    cursors = write("book.changed")
    page = client.get(f"/changes?after={empty['cursor']}").json
    assert [item["cursor"] for item in page["items"]] == cursors


def test_now_is_a_cursor_of_now(client, write):
    write("book.changed")
    now = client.get("/changes?after=now").json
    assert (now["items"], now["has_more"]) == ([], False)
    last = write("book.created")[-1]
    assert client.get(f"/changes?after={now['cursor']}").json["items"][0]["cursor"] == last


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("type=stock.changed", {"stock.changed"}),
        ("type=stock.changed,book.changed", {"stock.changed", "book.changed"}),
        ("type=hold.created", set()),
    ],
)
def test_a_filter_selects_types(client, write, query, types):
    cursors = write(*TYPES * 3)
    items, _ = read_all(client, f"{query}&limit=2")
    assert [item["cursor"] for item in items] == [
        cursor for cursor, kind in zip(cursors, TYPES * 3, strict=True) if kind in types
    ]


def test_a_page_scans_a_bounded_number_of_events_and_moves_on(client, write, monkeypatch):
    monkeypatch.setattr(pages, "MAX_SCANNED", 10)
    cursors = write(*["book.changed"] * 25, "stock.changed")
    page = client.get("/changes?type=stock.changed").json
    assert page == {"items": [], "cursor": cursors[9], "has_more": True}
    items, count = read_all(client, "type=stock.changed")
    assert [item["cursor"] for item in items] == cursors[25:]
    assert count == 3


def test_a_cursor_whose_next_event_is_gone_is_a_410(client, write, purge):
    cursors = write(*["book.changed"] * 5)
    purge(4)
    assert client.get(f"/changes?after={cursors[1]}").status_code == 410
    assert client.get(f"/changes?after={cursors[1]}&type=hold.created").status_code == 410
    page = client.get(f"/changes?after={cursors[2]}").json
    assert [item["cursor"] for item in page["items"]] == cursors[3:]
    assert client.get("/changes").json["items"] == page["items"]


def test_events_that_are_removed_while_the_first_page_is_read_are_not_missed(
    client, write, purge, monkeypatch
):
    cursors = write(*["book.changed"] * 5)
    read, reads = log.after, []

    def purge_and_read(*arguments):
        if not reads:
            purge(3)
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(log, "after", purge_and_read)
    items = client.get("/changes").json["items"]
    assert [item["cursor"] for item in items] == cursors[2:]
    assert len(reads) == 2


def test_a_cursor_of_another_log_or_of_the_future_is_a_410(client, write):
    (cursor,) = write("book.changed")
    name, _, _ = cursor.partition("-")
    for gone in (f"{name}-2", "0123456789abcdef-1"):
        response = client.get(f"/changes?after={gone}")
        assert (response.status_code, response.mimetype) == (410, "application/problem+json")


@pytest.mark.parametrize("cursor", ["", "x", "0123456789abcdef", "0123456789abcdef-01", "NOW"])
def test_a_malformed_cursor_is_a_400(client, cursor):
    assert client.get(f"/changes?after={cursor}").status_code == 400


@pytest.mark.parametrize(
    "query",
    ["type=book", "type=", "type=book.changed,", "limit=0", "limit=1001", "wait=0", "wait=21"],
)
def test_an_invalid_parameter_is_a_422(client, query):
    response = client.get(f"/changes?{query}")
    assert response.status_code == 422
    name = query.partition("=")[0]
    assert [error["pointer"] for error in response.json["errors"]] == [f"/{name}"]


def test_an_event_stream_needs_the_asgi_server(client):
    response = client.get("/changes", headers={"Accept": "text/event-stream"})
    assert response.status_code == 406
    assert "asgi" in response.json["detail"]
    accepts_both = {"Accept": "text/event-stream, application/json"}
    assert client.get("/changes", headers=accepts_both).mimetype == "application/json"


def test_a_wait_without_asgi_ends_at_once(client):
    assert client.get("/changes?wait=20").json["items"] == []


def test_pages_are_not_stored_by_caches(client):
    assert client.get("/changes").headers["Cache-Control"] == "no-store"
