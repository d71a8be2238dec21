"""The metrics of the service as a whole, as the database has them."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text, update

from app.cache.outbox import Outbox
from app.db.types import now
from app.events.models import StoredEvent
from app.extensions import db
from app.metrics import service
from app.metrics.service import ServiceMetrics
from app.services import services_of

HOUR = timedelta(hours=1)


def samples(app, *, has_redis=False):
    """Return the samples by name: their values, or the labels of those that are always 1."""
    services = services_of(app)
    engine, migrations = services.autocommit_engine, services.migrations
    collector = ServiceMetrics(engine, migrations, has_redis=has_redis)
    found = [each for metric in collector.collect() for each in metric.samples]
    return {each.name.removeprefix("bookstall_"): each.labels or each.value for each in found}


def execute(app, *statements):
    with app.app_context(), db.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture(params=["sqlite_database", "postgres_copy"])
def app(request, make_app):
    """The service on a database whose tables the test may change."""
    return make_app(request.getfixturevalue(request.param))


def test_the_release_and_the_schema_are_shown(app):
    [newest] = services_of(app).migrations.heads
    shown = samples(app)
    assert shown["build_info"]["migration"] == shown["schema_info"]["migration"] == newest
    execute(app, text("UPDATE alembic_version SET version_num = '9999'"))
    assert samples(app)["schema_info"] == {"migration": "9999"}


def test_the_outbox_is_measured_where_redis_is_to_empty_it(app, monkeypatch):
    assert not [name for name in samples(app) if name.startswith("outbox")]
    empty = samples(app, has_redis=True)
    assert (empty["outbox_rows"], empty["outbox_age_seconds"]) == (0, 0)
    rows = [{"tags": ["books"], "fine": True, "created_at": now() - n * HOUR} for n in range(3)]
    execute(app, insert(Outbox).values(rows))
    shown = samples(app, has_redis=True)
    assert shown["outbox_rows"] == 3
    assert 7_200 <= shown["outbox_age_seconds"] < 7_300


def test_events_lag_until_they_have_a_position(app, monkeypatch):
    # Its thread could be late, and give the event of the test a position.
    monkeypatch.setattr(services_of(app).sequencer, "wake", lambda *_: None)
    client = app.test_client()
    assert client.post("/books", json={"title": "Emma", "author": "A"}).status_code == 201
    services_of(app).sequencer.head()
    assert samples(app)["event_lag_seconds"] == 0
    execute(app, update(StoredEvent).values(position=None, created_at=now() - HOUR))
    assert 3_600 <= samples(app)["event_lag_seconds"] < 3_700


def test_without_the_database_only_the_release_is_shown(make_app, caplog):
    app = make_app("postgresql://u@127.0.0.1:1/none")
    assert samples(app, has_redis=True).keys() == {"build_info"}
    [warning] = [each for each in caplog.records if each.name == service.__name__]
    assert "the metrics of the database are missing: database unavailable" in warning.getMessage()
    assert app.test_client().get("/metrics").status_code == 200


def test_without_tables_only_the_release_is_shown(app, caplog):
    execute(app, text("DROP TABLE alembic_version"))
    assert samples(app).keys() == {"build_info"}
    assert "run `make migrate`" in caplog.text


def test_the_rows_of_a_long_outbox_are_counted_up_to_a_limit(app):
    rows = [{"tags": [], "fine": True, "created_at": now()}] * (service.MAX_COUNTED + 5)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(insert(Outbox), rows)
    assert samples(app, has_redis=True)["outbox_rows"] == service.MAX_COUNTED
