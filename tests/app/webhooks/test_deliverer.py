"""Events reach the receivers of webhooks, in order, whatever the receivers do."""

import random
from itertools import groupby

import pytest
from sqlalchemy import delete, text

from app.errors import NotFound
from app.events.models import StoredEvent
from app.extensions import db
from app.webhooks import services
from app.webhooks.queue import REASON_GONE, REASON_WINDOW
from tests.app.webhooks.receivers import HANG, SLOW_BODY
from tests.app.webhooks.running import FastClock, add_webhook, deliveries, webhook, write
from tests.waiting import PATIENCE, wait_until


def without_repeats(ids):
    return [number for number, _ in groupby(ids)]


def test_events_arrive_in_commit_order_with_signatures_that_others_verify(app, receive, deliver):
    receiver = receive()
    number = add_webhook(app, receiver)
    before = write(app, 3)
    deliver(app)
    cursors = before + write(app, 4)
    assert receiver.wait_for(7) == cursors
    first = receiver.requests[0]
    assert (first["cursor"], first["type"]) == (cursors[0], "stock.changed")
    assert first["data"] == {"id": 1, "delta": 0}
    assert first["path"] == "/hook?a=1"
    assert first["headers"]["content-type"] == "application/json"
    assert first["headers"]["host"] == f"127.0.0.1:{receiver.port}"
    wait_until(lambda: webhook(app, number).succeeded == 7)
    row = webhook(app, number)
    assert f"{row.cursor_log}-{row.cursor_position}" == cursors[-1]
    logged = deliveries(app, number)
    assert [(d.message_id, d.attempt, d.status, d.error) for d in logged] == [
        (cursor, 1, 200, None) for cursor in cursors
    ]


def test_a_webhook_gets_only_the_types_that_it_wants(app, receive, deliver):
    some, none = receive(), receive()
    add_webhook(app, some, ["book.created", "hold.created"])
    other = add_webhook(app, none, ["review.hidden"])
    deliver(app)
    (book,) = write(app, 1, "book.created")
    write(app, 1)
    (hold,) = write(app, 1, "hold.created")
    assert some.wait_for(2) == [book, hold]
    assert none.requests == []
    assert webhook(app, other).succeeded == 0


def test_the_cursor_of_a_webhook_that_gets_no_event_moves_on(app, receive, deliver, monkeypatch):
    monkeypatch.setattr("app.webhooks.queue.ADVANCE_SECONDS", 0.1)
    number = add_webhook(app, receive(), ["review.hidden"])
    deliver(app)
    *_, last = write(app, 3)
    position = int(last.rpartition("-")[2])
    wait_until(lambda: webhook(app, number).cursor_position == position)


def test_failures_at_random_repeat_events_but_never_change_their_order(app, receive, deliver):
    chance = random.Random(1)
    receiver = receive(lambda _: chance.choice([200, 200, 302, 500]))
    number = add_webhook(app, receiver)
    deliver(app, clock=FastClock())
    cursors = write(app, 30)
    receiver.wait_for(30)
    assert without_repeats(m["cursor"] for m in receiver.requests) == cursors
    wait_until(lambda: webhook(app, number).succeeded == 30)
    row = webhook(app, number)
    assert (row.failed_attempts, row.failing_since, row.next_attempt_at) == (0, None, None)
    assert row.failed == len(receiver.requests) - 30


@pytest.mark.parametrize("behaviour", [HANG, 500])
def test_a_receiver_that_hangs_or_fails_delays_nobody_else(app, receive, deliver, behaviour):
    bad, good = receive(lambda _: behaviour), receive()
    add_webhook(app, bad)
    add_webhook(app, good)
    deliver(app)
    cursors = write(app, 1)
    wait_until(lambda: bad.requests)
    cursors += write(app, 20)
    assert good.wait_for(21) == cursors
    assert without_repeats(m["cursor"] for m in bad.requests) == cursors[:1]


def test_a_body_that_never_ends_is_no_failure_and_delays_no_event(app, receive, deliver):
    receiver = receive(lambda _: SLOW_BODY)
    number = add_webhook(app, receiver)
    deliver(app)
    cursors = write(app, 2)
    wait_until(lambda: webhook(app, number).succeeded == 2)
    assert [message["cursor"] for message in receiver.requests] == cursors


def test_a_redirect_is_a_failure_and_not_followed(app, receive, deliver):
    elsewhere, receiver = receive(), receive(lambda _: 307)
    receiver.headers["Location"] = elsewhere.url
    number = add_webhook(app, receiver)
    deliver(app)
    write(app, 1)
    wait_until(lambda: webhook(app, number).failed > 1)
    assert deliveries(app, number)[0].error == "status 307"
    assert elsewhere.connections == 0


def test_a_webhook_is_disabled_after_three_days_of_failures(app, receive, deliver):
    receiver, clock = receive(lambda _: 503), FastClock()
    number = add_webhook(app, receiver)
    deliver(app, clock=clock)
    (cursor,) = write(app, 1)
    wait_until(lambda: not webhook(app, number).enabled)
    assert webhook(app, number).disabled_reason == (
        "an event failed for 3 days, at last: status 503"
    )
    logged = deliveries(app, number)
    assert [d.attempt for d in logged] == list(range(1, len(logged) + 1))
    assert {d.message_id for d in logged} == {cursor}
    assert abs(sum(clock.waits) - 3 * 86_400) < PATIENCE
    # Enabled again, it begins with the same event, at once.
    receiver.choose = lambda _: 200
    with app.app_context():
        services.update_webhook(number, None, enabled=True)
    assert receiver.wait_for(1) == [cursor]


def test_410_gone_disables_a_webhook_at_once(app, receive, deliver):
    receiver = receive(lambda _: 410)
    number = add_webhook(app, receiver)
    deliver(app)
    write(app, 2)
    wait_until(lambda: not webhook(app, number).enabled)
    assert webhook(app, number).disabled_reason == REASON_GONE
    assert len(receiver.requests) == 1


def test_retry_after_makes_the_wait_longer(app, receive, deliver):
    statuses, clock = [429, 200], FastClock()
    receiver = receive(lambda _: statuses.pop(0))
    receiver.headers["Retry-After"] = "1800"
    add_webhook(app, receiver)
    deliver(app, clock=clock)
    write(app, 1)
    receiver.wait_for(1)
    assert 1_800 - PATIENCE < clock.waits[0] <= 1_800


def test_a_webhook_whose_next_event_is_gone_is_disabled(app, receive, deliver):
    number = add_webhook(app, receive())
    write(app, 3)
    with app.app_context():
        db.session.execute(delete(StoredEvent).where(StoredEvent.position <= 2))
        db.session.commit()
    deliver(app)
    wait_until(lambda: not webhook(app, number).enabled)
    assert webhook(app, number).disabled_reason == REASON_WINDOW


def test_changes_are_noticed_while_the_deliverer_runs(app, receive, deliver):
    deliver(app)
    old, new = receive(), receive()
    number = add_webhook(app, old)
    first, second = write(app, 2)
    assert old.wait_for(2) == [first, second]
    wait_until(lambda: webhook(app, number).succeeded == 2)
    new.secret = old.secret
    with app.app_context():
        services.update_webhook(number, None, url=new.url)
        services.replay(number, first)
    assert new.wait_for(1) == [second]
    # Before the change, which would cancel a request whose response has not arrived yet.
    wait_until(lambda: webhook(app, number).succeeded == 3)
    with app.app_context():
        services.update_webhook(number, None, enabled=False)
    (third,) = write(app, 1)
    with app.app_context():
        services.update_webhook(number, None, enabled=True)
    wait_until(lambda: third in new.accepted)
    # The third comes twice if it was sent before the deliverer noticed the first change.
    assert without_repeats(new.accepted) == [second, third]
    with app.app_context():
        services.delete_webhook(number)
        with pytest.raises(NotFound):
            services.delete_webhook(number)
    other = receive()
    add_webhook(app, other)
    (fourth,) = write(app, 1)
    assert other.wait_for(1) == [fourth]
    (fifth,) = write(app, 1)
    other.wait_for(2)
    assert fifth not in new.accepted


def test_both_secrets_sign_while_one_replaces_the_other(app, receive, deliver):
    receiver = receive()
    number = add_webhook(app, receiver)
    with app.app_context():
        services.rotate_secret(number, 3_600)
    deliver(app)
    write(app, 1)
    receiver.wait_for(1)  # which verifies with the old one
    assert len(receiver.requests[0]["headers"]["webhook-signature"].split(" ")) == 2


def test_a_test_event_is_sent_once_also_to_a_disabled_webhook(app, receive, deliver):
    receiver = receive(lambda _: 500)
    number = add_webhook(app, receiver)
    with app.app_context():
        services.update_webhook(number, None, enabled=False)
        message_id = services.request_test(number).message_id
    deliver(app)
    wait_until(lambda: webhook(app, number).test_id is None)
    (sent,), (logged,) = receiver.requests, deliveries(app, number)
    assert (sent["type"], sent["cursor"], sent["data"]) == ("webhook.test", None, {})
    assert sent["headers"]["webhook-id"] == message_id == logged.message_id
    assert (logged.type, logged.status, logged.error) == ("webhook.test", 500, "status 500")


def test_a_request_that_was_sent_is_completed_and_recorded_at_the_end(
    app, receive, deliver, monkeypatch
):
    receiver = receive()
    number = add_webhook(app, receiver)
    running = deliver(app)
    monkeypatch.setattr("app.webhooks.deliverer.FINISH_SECONDS", PATIENCE)
    receiver.choose = lambda _: running.stop_soon() or 200
    cursors = write(app, 2)
    wait_until(lambda: receiver.requests)
    running.stop()
    assert receiver.accepted == cursors[:1]
    assert [d.message_id for d in deliveries(app, number)] == cursors[:1]


def test_lost_connections_to_the_database_are_opened_again(
    make_app, postgres_database, receive, deliver
):
    app, receiver = make_app(postgres_database, webhook_private_targets=True), receive()
    # It writes, and has no other connection in its pool when all are closed: the next write on a
    # connection that was lost a moment ago is a 503.
    other = make_app(postgres_database)
    add_webhook(app, receiver)
    deliver(app)
    cursors = write(app, 5)
    receiver.wait_for(5)
    with other.app_context():
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        db.session.execute(
            text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        )
        db.session.commit()
    cursors += write(other, 5)
    wait_until(lambda: set(cursors) <= set(receiver.accepted))
    assert sorted(set(receiver.accepted), key=receiver.accepted.index) == cursors


def test_a_delivery_is_part_of_the_trace_of_the_write_that_caused_it(app, receive, deliver):
    receiver = receive(lambda _: 200 if receiver.requests else 500)
    add_webhook(app, receiver)
    sent = {"traceparent": f"00-{'4b' * 16}-{'0f' * 8}-01", "tracestate": "shop=7"}
    book = {"title": "A book", "author": "Somebody"}
    client = app.test_client()
    assert client.post("/books", json=book, headers=sent).status_code == 201
    assert client.post("/books", json={**book, "title": "Another"}).status_code == 201
    deliver(app, clock=FastClock())
    receiver.wait_for(2)
    first, again, other = (request["headers"] for request in receiver.requests)
    for headers in (first, again):
        assert {name: headers[name] for name in sent} == sent
    assert not sent.keys() & other.keys()
