"""A new log takes the place of no webhook away, also while a deliverer runs."""

from datetime import timedelta

from app.db.engine import autocommit_engine
from app.db.types import now
from app.events.new_log import begin_new_log
from app.webhooks import services
from tests.app.webhooks.rows import row_of, set_columns
from tests.app.webhooks.running import add_webhook, deliveries, webhook, write
from tests.waiting import wait_until


def new_log(app):
    with app.app_context():
        return begin_new_log(autocommit_engine())


def test_webhooks_go_on_in_the_new_log_without_a_gap_or_a_repeat(app, receive, deliver):
    receivers = good, failing, paused = [receive() for _ in range(3)]
    failing.choose = lambda _: 500
    numbers = [add_webhook(app, receiver) for receiver in receivers]
    with app.app_context():
        services.update_webhook(numbers[2], None, enabled=False)
    deliver(app)
    before = write(app, 3)
    good.wait_for(3)
    wait_until(lambda: webhook(app, numbers[0]).cursor_position == 3)
    wait_until(lambda: failing.requests)
    name = new_log(app)
    after = write(app, 2)
    assert after == [f"{name}-4", f"{name}-5"]
    assert good.wait_for(5) == before + after
    # Those that it has still to get are events of the new log.
    failing.choose = lambda message: 200 if message["cursor"].startswith(name) else 500
    with app.app_context():
        services.update_webhook(numbers[2], None, enabled=True)
    wanted = [f"{name}-{position}" for position in range(1, 6)]
    assert failing.wait_for(5) == paused.wait_for(5) == wanted
    assert good.accepted == before + after
    for number in numbers:
        wait_until(lambda number=number: webhook(app, number).cursor_position == 5)
        assert webhook(app, number).enabled


def test_a_queue_that_waits_for_its_next_attempt_goes_on_waiting(app, receive, deliver):
    receiver = receive()
    number = add_webhook(app, receiver)
    write(app, 1)
    at = now() + timedelta(hours=1)
    set_columns(app, number, failed_attempts=3, failing_since=now(), next_attempt_at=at)
    deliver(app)
    name = new_log(app)
    row = row_of(app, number)
    assert (row.cursor_log, row.cursor_position, row.version) == (name, 0, 1)
    other = receive()
    add_webhook(app, other)
    (cursor,) = write(app, 1)
    assert other.wait_for(1) == [cursor]
    assert receiver.requests == deliveries(app, number) == []
    row = webhook(app, number)
    assert (row.enabled, row.failed_attempts, row.next_attempt_at) == (True, 3, at)
    with app.app_context():
        services.update_webhook(number, None, enabled=True)  # ends the wait
    assert receiver.wait_for(2) == [f"{name}-1", f"{name}-2"]


def test_a_place_in_yet_another_log_is_none_in_the_new_one(app):
    with app.app_context():
        number = services.add_webhook("https://shop.example/", []).id
    set_columns(app, number, cursor_log="0" * 16)
    new_log(app)
    assert row_of(app, number).cursor_log == "0" * 16
