"""What ``/metrics`` shows of webhooks."""

import re
from datetime import timedelta

from sqlalchemy import update

from app.db.types import now
from app.events.models import StoredEvent
from app.extensions import db
from app.webhooks import services
from tests.app.webhooks.running import FastClock, add_webhook, webhook, write
from tests.waiting import wait_until


def metrics(app):
    """Return the samples of webhooks by their names and labels."""
    text = app.test_client().get("/metrics").text
    return {
        name: float(value)
        for name, value in re.findall(r"^bookstall_webhook_(\S+) (\S+)$", text, re.MULTILINE)
        if "_created" not in name
    }


def test_no_webhook_has_no_metrics(app):
    assert metrics(app) == {}


def test_the_lag_is_the_age_of_the_next_event(app, receive):
    receiver = receive()
    numbers = [add_webhook(app, receiver, types) for types in ([], ["hold.created"], [])]
    assert metrics(app)[f'lag_seconds{{webhook="{numbers[0]}"}}'] == 0
    write(app, 2)
    with app.app_context():
        services.update_webhook(numbers[2], None, enabled=False)
        db.session.execute(update(StoredEvent).values(created_at=now() - timedelta(hours=1)))
        db.session.commit()
    shown = metrics(app)
    assert 3_600 <= shown[f'lag_seconds{{webhook="{numbers[0]}"}}'] < 7_200
    assert shown[f'lag_seconds{{webhook="{numbers[1]}"}}'] == 0
    assert f'lag_seconds{{webhook="{numbers[2]}"}}' not in shown
    assert [shown[f'enabled{{webhook="{number}"}}'] for number in numbers] == [1, 1, 0]


def test_requests_are_counted_by_their_outcome(app, receive, deliver):
    statuses = [500, 500, 200, 200]
    number = add_webhook(app, receive(lambda _: statuses.pop(0)))
    deliver(app, clock=FastClock())
    write(app, 2)
    wait_until(lambda: webhook(app, number).succeeded == 2)
    shown = metrics(app)
    assert shown[f'requests_total{{outcome="succeeded",webhook="{number}"}}'] == 2
    assert shown[f'requests_total{{outcome="failed",webhook="{number}"}}'] == 2
    assert shown[f'failed_attempts{{webhook="{number}"}}'] == 0
