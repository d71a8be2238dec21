"""The unit of work: what a commit does, and what a deferred commit leaves undone."""

import pytest

from app.extensions import db
from app.unit_of_work import PendingWrite, commit, deferred_commit
from tests.app.cache.steps import HIT, STORED, cache_status, outbox_size


def test_a_write_with_too_many_tags_invalidates_everything(server, worker, book):
    emma = book()
    client = worker.test_client()
    cache_status(client, f"/books/{emma}")
    with worker.app_context():
        commit(invalidate=[f"book:{number}" for number in range(1000, 4000)])
    assert cache_status(client, f"/books/{emma}") == STORED
    assert cache_status(client, f"/books/{emma}") == HIT


def test_a_pending_write_begins_its_transaction_when_it_is_staged(worker):
    with worker.app_context():
        write = PendingWrite(["books"], None)
        assert not db.session().in_transaction()
        write.stage()
        assert db.session().in_transaction()
        db.session.rollback()
    assert outbox_size(worker) == 0


def test_a_deferred_commit_happens_when_it_is_called(worker):
    client = worker.test_client()
    cache_status(client)
    with worker.app_context(), deferred_commit() as commit_all:
        commit(invalidate=["books", "books:members"])
        assert cache_status(client) == HIT
        commit_all()
    assert cache_status(client) == STORED


@pytest.mark.parametrize("error", [None, ValueError])
def test_a_deferred_commit_that_is_not_called_leaves_nothing_behind(make_app, database, error):
    app = make_app(database)  # without Redis a row would stay in the outbox
    with app.app_context():
        try:
            with deferred_commit():
                commit(invalidate=["books"])
                if error:
                    raise error
        except ValueError:
            pass
        assert outbox_size(app) == 0
        commit(invalidate=["books"])
    assert outbox_size(app) == 1
