"""Webhooks over REST: what clients see, and what the deliverer finds in the rows."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import delete, func, select

from app.api.idempotency import StoredResponse
from app.auth.api_keys import MISS_CACHE_SECONDS
from app.db.types import now
from app.events import log as events
from app.events.models import StoredEvent
from app.extensions import db
from app.webhooks import services
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.secrets import SecretUnreadable, new_secret, signing_keys
from tests.app.auth.keys import BOOK, bearer, make_key
from tests.app.webhooks.rows import (
    FAILING,
    GIVEN_UP,
    LONG_AGO,
    URL,
    add_deliveries,
    row_of,
    set_columns,
)
from tests.servers import SECRET
from tests.waiting import served

SECRET_PATTERN = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


@pytest.fixture
def app(make_app, database):
    """The service with its default: no private targets."""
    return make_app(database)


@pytest.fixture
def webhook(client):
    """A factory of webhooks; returns the id."""

    def make(**fields):
        response = client.post("/webhooks", json={"url": URL, **fields})
        assert response.status_code == 201, response.json
        return response.json["id"]

    return make


def cursor_of(app, webhook_id):
    row = row_of(app, webhook_id)
    return events.Cursor(row.cursor_log, row.cursor_position)


def head_of(app):
    with app.app_context():
        head = events.head(db.engine)
    return events.Cursor(head.log, head.position)


def test_a_new_webhook_shows_its_secret_once(app, client):
    created = client.post("/webhooks", json={"url": URL, "description": " search  index "})
    assert created.status_code == 201
    assert created.headers["Location"] == "/webhooks/1"
    assert created.headers["ETag"] == '"1"'
    assert created.headers["Cache-Control"] == "no-store"
    secret = created.json.pop("secret")
    assert SECRET_PATTERN.fullmatch(secret)
    assert created.json["types"] == []
    assert created.json["enabled"] is True
    assert created.json["disabled_reason"] is created.json["failing_since"] is None
    shown = client.get("/webhooks/1")
    assert "secret" not in shown.json
    assert shown.json == {key: value for key, value in created.json.items() if key != "secret"}
    assert shown.headers["ETag"] == '"1"'
    assert client.get("/webhooks").json["items"] == [shown.json]


def test_a_webhook_begins_after_the_newest_event(app, client, book, webhook):
    book()
    id_ = webhook()
    assert cursor_of(app, id_) == head_of(app)
    assert head_of(app).position >= 1


def test_types_are_listed_once_and_in_one_order(client):
    body = {"url": URL, "types": ["stock.changed", "book.created", "stock.changed"]}
    assert client.post("/webhooks", json=body).json["types"] == ["book.created", "stock.changed"]
    assert client.get("/webhooks/1").json["types"] == ["book.created", "stock.changed"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "http://shop.example/"}, "/url"),
        ({"url": "ftp://shop.example/"}, "/url"),
        ({"url": "https://u:p@shop.example/"}, "/url"),
        ({"url": "https://shop.example/#here"}, "/url"),
        ({"url": "https://127.0.0.1/"}, "/url"),
        ({"url": "https://2130706433/"}, "/url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "https://localhost/"}, "/url"),
        ({"url": "https://shop.example:99999/"}, "/url"),
        ({"url": "https://shop.example/\n"}, "/url"),
        ({"url": "https://shop.example/" + "x" * 2_000}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": None}, "/url"),
        ({"types": ["stock.changd"]}, "/types/0"),
        ({"types": [1]}, "/types/0"),
        ({"types": "stock.changed"}, "/types"),
        ({"description": "x" * 201}, "/description"),
        ({"description": " "}, "/description"),
        ({"secret": "whsec_x"}, "/secret"),
    ],
)
def test_an_invalid_field_is_a_422_of_a_creation_and_of_a_change(client, webhook, changes, pointer):
    webhook()
    for response in (
        client.post("/webhooks", json={"url": URL, **changes}),
        client.patch("/webhooks/1", json=changes),
    ):
        assert response.status_code == 422
        assert [error["pointer"] for error in response.json["errors"]] == [pointer]
    assert client.get("/webhooks?include_total=true").json["total"] == 1
    assert client.get("/webhooks/1").headers["ETag"] == '"1"'


def test_private_targets_are_allowed_where_the_operator_says_so(make_app, database):
    client = make_app(database, webhook_private_targets=True).test_client()
    for url in ("http://127.0.0.1:9000/events", "https://10.0.0.1/", "http://shop.internal/"):
        assert client.post("/webhooks", json={"url": url}).status_code == 201, url
    assert client.post("/webhooks", json={"url": "ftp://127.0.0.1/"}).status_code == 422


def test_there_is_a_maximum_of_webhooks(client, webhook, monkeypatch):
    monkeypatch.setattr(services, "WEBHOOKS_MAX", 2)
    webhook()
    webhook()
    refused = client.post("/webhooks", json={"url": URL})
    assert refused.status_code == 409
    assert client.delete("/webhooks/1").status_code == 204
    assert webhook() == 3  # no id is used again


def test_simultaneous_requests_do_not_exceed_the_maximum(app, monkeypatch):
    def slow_secret():
        time.sleep(0.1)  # after the count: without a lock all requests have counted by then
        return new_secret()

    monkeypatch.setattr(services, "WEBHOOKS_MAX", 2)
    monkeypatch.setattr(services, "new_secret", slow_secret)
    with ThreadPoolExecutor(8) as threads:
        send = partial(app.test_client().post, "/webhooks", json={"url": URL})
        responses = threads.map(lambda _: served(send), range(8))
        assert Counter(response.status_code for response in responses) == {201: 2, 409: 6}


def test_an_unknown_webhook_is_a_404(client):
    for method, path, body in (
        ("GET", "/webhooks/7", None),
        ("PATCH", "/webhooks/7", {"enabled": True}),
        ("DELETE", "/webhooks/7", None),
        ("GET", "/webhooks/7/deliveries", None),
        ("POST", "/webhooks/7/replay", {"after": "now"}),
        ("POST", "/webhooks/7/rotate", {}),
        ("POST", "/webhooks/7/test", None),
        ("GET", "/webhooks/x", None),
    ):
        assert client.open(path, method=method, json=body).status_code == 404, (method, path)


def test_a_change_raises_the_version_and_the_same_values_do_not(app, client, webhook):
    id_ = webhook(description="old")
    before = client.get(f"/webhooks/{id_}").json
    changed = client.patch(
        f"/webhooks/{id_}", json={"description": None, "types": ["book.created"]}
    )
    assert changed.headers["ETag"] == '"2"'
    assert changed.json["description"] is None
    assert changed.json["updated_at"] > before["updated_at"]
    same = client.patch(f"/webhooks/{id_}", json={"types": ["book.created"], "enabled": True})
    assert same.headers["ETag"] == '"2"'
    assert same.json == changed.json == client.get(f"/webhooks/{id_}").json
    assert client.patch(f"/webhooks/{id_}", json={}).status_code == 422


def test_if_match_compares_what_the_deliverer_changed_too(app, client, webhook):
    id_ = webhook()
    path = f"/webhooks/{id_}"
    read = client.get(path).headers["ETag"]
    set_columns(app, id_, **FAILING)
    failing = client.get(path, headers={"If-None-Match": read})
    assert failing.status_code == 200
    assert failing.json["failing_since"] == LONG_AGO.isoformat().replace("+00:00", "Z")
    set_columns(app, id_, **GIVEN_UP)
    given_up = client.get(path, headers={"If-None-Match": failing.headers["ETag"]})
    assert given_up.status_code == 200
    for etag in (read, failing.headers["ETag"]):
        for method, body in (("PATCH", {"enabled": True}), ("DELETE", None)):
            refused = client.open(path, method=method, json=body, headers={"If-Match": etag})
            assert refused.status_code == 412
    headers = {"If-Match": given_up.headers["ETag"]}
    assert client.patch(path, json={"enabled": True}, headers=headers).status_code == 200
    assert client.delete(path, headers={"If-Match": "*"}).status_code == 204
    assert client.get(path).status_code == 404


def test_of_simultaneous_changes_of_one_version_one_succeeds(app, webhook):
    path = f"/webhooks/{webhook()}"

    def change(number):
        body, headers = {"description": f"number {number}"}, {"If-Match": '"1"'}
        send = partial(app.test_client().patch, path, json=body, headers=headers)
        return served(send).status_code

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(change, range(6))) == [200, *[412] * 5]


@pytest.mark.parametrize("change", [{"enabled": True}, {"url": "https://new.example/"}])
@pytest.mark.parametrize("state", [FAILING, GIVEN_UP])
def test_enabling_and_another_url_try_again_at_once(app, client, webhook, state, change):
    id_ = webhook()
    cursor = cursor_of(app, id_)
    set_columns(app, id_, **state)
    changed = client.patch(f"/webhooks/{id_}", json=change)
    assert changed.status_code == 200
    assert changed.json["failing_since"] is None
    row = row_of(app, id_)
    assert (row.failed_attempts, row.next_attempt_at, row.version) == (0, None, 2)
    is_enabled = state is FAILING or "enabled" in change
    assert changed.json["enabled"] is is_enabled
    assert (changed.json["disabled_reason"] is None) is is_enabled
    assert cursor_of(app, id_) == cursor


def test_a_client_disables_without_a_reason(client, webhook):
    id_ = webhook()
    disabled = client.patch(f"/webhooks/{id_}", json={"enabled": False})
    assert disabled.json["enabled"] is False
    assert disabled.json["disabled_reason"] is None
    assert client.patch(f"/webhooks/{id_}", json={"enabled": True}).json["enabled"] is True


def test_a_replay_moves_the_cursor_and_forgets_the_failures(app, client, book, webhook):
    id_ = webhook()
    begin = cursor_of(app, id_)
    book()
    book()
    set_columns(app, id_, cursor_position=begin.position + 1, **FAILING)
    after = events.format_cursor(*begin)
    replayed = client.post(f"/webhooks/{id_}/replay", json={"after": after})
    assert replayed.status_code == 200
    assert replayed.json["failing_since"] is None
    assert cursor_of(app, id_) == begin
    assert row_of(app, id_).version == 2
    assert client.post(f"/webhooks/{id_}/replay", json={"after": "now"}).status_code == 200
    assert cursor_of(app, id_) == head_of(app)


def test_a_replay_past_the_window_or_of_another_log_is_a_410(app, client, book, webhook):
    id_ = webhook()
    for _ in range(3):
        book()
    head = head_of(app)
    with app.app_context():
        oldest = db.session.scalar(select(func.min(StoredEvent.position)))
        db.session.execute(delete(StoredEvent).where(StoredEvent.position == oldest))
        db.session.commit()
    cursor = cursor_of(app, id_)
    for log, position in (
        (head.log, oldest - 1),
        ("0" * 16, head.position),
        (head.log, head.position + 1),
    ):
        body = {"after": events.format_cursor(log, position)}
        assert client.post(f"/webhooks/{id_}/replay", json=body).status_code == 410
    assert cursor_of(app, id_) == cursor
    for text in ("", "NOW", "7", f"{head.log}-01", f"{head.log}-{2**63}", None, 7):
        refused = client.post(f"/webhooks/{id_}/replay", json={"after": text})
        assert refused.status_code == 422, text


def test_a_webhook_whose_next_event_is_gone_is_enabled_after_a_replay_only(app, client, webhook):
    id_ = webhook()
    set_columns(app, id_, cursor_log="0" * 16, **GIVEN_UP)
    refused = client.patch(f"/webhooks/{id_}", json={"enabled": True})
    assert refused.status_code == 409
    assert "replay" in refused.json["detail"]
    assert client.patch(f"/webhooks/{id_}", json={"description": "x"}).status_code == 200
    replayed = client.post(f"/webhooks/{id_}/replay", json={"after": "now"})
    assert replayed.json["enabled"] is False
    assert client.patch(f"/webhooks/{id_}", json={"enabled": True}).status_code == 200


def test_deliveries_are_listed_newest_first_by_webhook(app, client, webhook):
    first, second = webhook(), webhook()
    add_deliveries(
        app,
        first,
        {"message_id": "a", "status": 500, "error": "status 500"},
        {"message_id": "a", "attempt": 2, "error": "no connection"},
        {"message_id": "a", "attempt": 3, "status": 204},
    )
    assert client.get(f"/webhooks/{second}/deliveries").json["items"] == []
    page = client.get(f"/webhooks/{first}/deliveries?limit=2")
    assert [item["attempt"] for item in page.json["items"]] == [3, 2]
    assert [item["status"] for item in page.json["items"]] == [204, None]
    rest = client.get(f"/webhooks/{first}/deliveries?limit=2&cursor={page.json['next_cursor']}")
    assert [item["error"] for item in rest.json["items"]] == ["status 500"]
    assert rest.json["next_cursor"] is None


def test_deliveries_go_with_their_webhook(app, client, webhook):
    id_ = webhook()
    add_deliveries(app, id_, {}, {})
    assert client.delete(f"/webhooks/{id_}").status_code == 204
    with app.app_context():
        assert db.session.scalars(select(WebhookDelivery)).all() == []


def test_a_test_waits_for_the_deliverer_and_there_is_one_at_a_time(app, client, webhook):
    id_ = webhook()
    first = client.post(f"/webhooks/{id_}/test")
    assert first.status_code == 202
    message_id = first.json["message_id"]
    assert row_of(app, id_).test_id == message_id
    assert client.post(f"/webhooks/{id_}/test").json["message_id"] == message_id
    assert client.get(f"/webhooks/{id_}").headers["ETag"] == '"1"'
    set_columns(app, id_, test_id=None)
    assert client.post(f"/webhooks/{id_}/test").json["message_id"] != message_id


def test_secrets_are_encrypted_with_a_key_of_secret_key(app, client):
    secret = client.post("/webhooks", json={"url": URL}).json["secret"]
    row = row_of(app, 1)
    (key,) = signing_keys(row, SECRET)
    assert SECRET_PATTERN.fullmatch(secret)
    assert key not in row.secret
    with pytest.raises(SecretUnreadable, match="SECRET_KEY has changed"):
        signing_keys(row, "another secret key")


def test_two_equal_secrets_would_be_stored_differently(client, app):
    with app.app_context():
        stored = {services.encrypt_secret("whsec_AAAA", SECRET) for _ in range(3)}
    assert len(stored) == 3


def test_a_rotated_secret_signs_beside_the_new_one_during_the_grace(app, client, webhook):
    id_ = webhook()
    (old,) = signing_keys(row_of(app, id_), SECRET)
    rotated = client.post(f"/webhooks/{id_}/rotate", json={"grace": 3_600})
    assert rotated.status_code == 200
    assert SECRET_PATTERN.fullmatch(rotated.json["secret"])
    row = row_of(app, id_)
    new, also = signing_keys(row, SECRET)
    assert also == old != new
    assert row.version == 2
    set_columns(app, id_, old_secret_until=now())
    assert signing_keys(row_of(app, id_), SECRET) == [new]
    client.post(f"/webhooks/{id_}/rotate", json={"grace": 0})
    row = row_of(app, id_)
    assert row.old_secret is row.old_secret_until is None
    assert client.post(f"/webhooks/{id_}/rotate", json={"grace": -1}).status_code == 422


def test_after_a_change_of_secret_key_a_rotation_gives_a_readable_secret(make_app, database):
    before = make_app(database, secret_key="the first secret key")
    assert before.test_client().post("/webhooks", json={"url": URL}).status_code == 201
    after = make_app(database, secret_key="the second secret key")
    with pytest.raises(SecretUnreadable):
        signing_keys(row_of(after, 1), "the second secret key")
    assert after.test_client().post("/webhooks/1/rotate", json={}).status_code == 200
    assert len(signing_keys(row_of(after, 1), "the second secret key")) == 1


def test_a_repeated_request_shows_the_secret_again_but_it_is_not_stored_readable(
    make_app, database
):
    app = make_app(database)
    client, headers = app.test_client(), {"Idempotency-Key": "once"}
    client.post("/books", json=BOOK)  # SQLite makes the log with the first event
    body = {"url": URL}
    first, again = (client.post("/webhooks", json=body, headers=headers) for _ in range(2))
    assert first.data == again.data
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Cache-Control"] == "no-store"
    with app.app_context():
        stored = db.session.scalars(select(StoredResponse)).one()
        assert db.session.scalar(select(func.count(Webhook.id))) == 1
    assert b"whsec_" not in stored.body
    other = make_app(database, secret_key="another secret key").test_client()
    lost = other.post("/webhooks", json=body, headers=headers)
    assert lost.status_code == 409
    assert "SECRET_KEY" in lost.json["detail"]


def test_reads_need_the_scope_too(make_app, database):
    app = make_app(database, require_api_key=True)
    client = app.test_client()
    right, wrong = bearer(make_key(app, "webhooks:write")), bearer(make_key(app, "books:write"))
    assert client.post("/webhooks", json={"url": URL}, headers=right).status_code == 201
    time.sleep(MISS_CACHE_SECONDS)
    for path in ("/webhooks", "/webhooks/1", "/webhooks/1/deliveries"):
        for method in ("GET", "HEAD"):
            assert client.open(path, method=method).status_code == 401
            forbidden = client.open(path, method=method, headers=wrong)
            assert forbidden.status_code == 403
            assert 'scope="webhooks:write"' in forbidden.headers["WWW-Authenticate"]
            allowed = client.open(path, method=method, headers=right)
            assert allowed.status_code == 200
            assert allowed.headers["Cache-Control"] == "no-store"
    every = bearer(make_key(app, "*"))
    assert client.get("/webhooks/1", headers=every).status_code == 200


def test_no_cache_keeps_a_response(make_app, database, redis_url):
    client = make_app(database, redis_url=redis_url).test_client()
    client.post("/webhooks", json={"url": URL})
    for _ in range(2):
        shown = client.get("/webhooks/1")
        assert shown.headers["Cache-Status"] == "bookstall; fwd=bypass; detail=not-cacheable"
