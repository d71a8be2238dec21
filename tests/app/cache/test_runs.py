"""The run of Redis that all use: an old master that returns after a failover serves nothing.

Its clients see no difference: it never stopped to be a master for them.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event, select, text

from app.cache import outbox, runs
from app.cache.lease import LEASE_SECONDS
from app.cache.runs import KEPT_RUNS, CacheRun, CacheRuns, RunReplaced
from app.redis.client import RedisUnavailable
from app.services import services_of
from stack.sentinel import Sentinel
from stack.servers import Redis
from tests.app.cache.steps import HIT, STORED, add_review, cache_status, outbox_size, stale_seconds
from tests.waiting import PATIENCE, patient, shortest, wait_until

STALE_SECONDS = LEASE_SECONDS + 0.5
REPLACED = "bookstall; fwd=bypass; detail=redis-replaced"


@pytest.fixture(scope="module")
def old():
    """A master that is left behind."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def new(old):
    """The one that is used after it, with the same password."""
    with Redis(password=old.password) as server:
        yield server


@pytest.fixture
def follower(make_app, database, new):
    """An application that has found the new master."""
    return make_app(database, redis_url=patient(new.url))


@pytest.fixture
def worker(make_app, database, old):
    """One that is still connected to the old master."""
    return make_app(database, redis_url=patient(old.url))


def used_runs(app):
    with services_of(app).autocommit_engine.connect() as connection:
        return connection.execute(select(CacheRun.run_id).order_by(CacheRun.id)).scalars().all()


def run_of(app):
    return services_of(app).redis.connection().run_id


def runs_of(app):
    return CacheRuns(services_of(app).cache.responses, services_of(app).autocommit_engine)


def end_lease(app):
    services_of(app).cache.lease.revoke()


def review_count(client, book):
    response = client.get(f"/books/{book}")
    return response.json["review_count"], response.headers["Cache-Status"]


def hit(app, book):
    client = app.test_client()
    wait_until(lambda: cache_status(client, f"/books/{book}") == HIT)
    return client


@contextmanager
def frozen(server):
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


class TestOnBothDatabases:
    @pytest.fixture(params=["sqlite", "postgres"])
    def database(self, request):
        return request.getfixturevalue(f"{request.param}_database")

    def test_an_old_master_that_returns_serves_nothing_stale(self, old, worker, follower, book):
        reader, emma = worker.test_client(), book()
        hit(worker, emma)
        with frozen(old):
            add_review(follower.test_client(), emma)
            assert outbox_size(follower) == 0
        end_lease(worker)
        assert review_count(reader, emma) == (1, REPLACED)
        assert used_runs(worker) == [run_of(worker), run_of(follower)]

    def test_without_the_database_it_would(self, old, worker, follower, book, monkeypatch):
        """So the test above tests something."""
        reader, emma = worker.test_client(), book()
        hit(worker, emma)
        trusted, confirm = run_of(worker), CacheRuns.confirm

        def trust_the_role(self, run_id):
            return None if run_id == trusted else confirm(self, run_id)

        monkeypatch.setattr(CacheRuns, "confirm", trust_the_role)
        with frozen(old):
            add_review(follower.test_client(), emma)
        end_lease(worker)
        assert review_count(reader, emma) == (0, HIT)

    def test_a_write_that_reaches_the_old_master_only_stays_in_the_outbox(
        self, worker, follower, book
    ):
        emma = book()
        hit(worker, emma)
        reader = hit(follower, emma)
        add_review(worker.test_client(), emma)
        assert outbox_size(worker) == 1
        end_lease(follower)
        assert review_count(reader, emma) == (1, STORED)
        assert outbox_size(worker) == 0

    def test_without_the_database_it_would_be_lost(self, worker, follower, book, monkeypatch):
        remove = outbox.remove
        emma = book()
        hit(worker, emma)
        reader = hit(follower, emma)
        newest = run_of(follower)
        monkeypatch.setattr(outbox, "remove", lambda engine, ids, _: remove(engine, ids, newest))
        add_review(worker.test_client(), emma)
        end_lease(follower)
        assert review_count(reader, emma) == (0, HIT)


def test_such_a_write_is_seen_when_the_next_lease_begins(worker, follower, book):
    emma = book()
    hit(worker, emma)

    def stale():
        reader = hit(follower, emma)
        return stale_seconds(lambda: add_review(worker.test_client(), emma), reader, emma)

    assert shortest(stale, STALE_SECONDS) <= STALE_SECONDS


def test_a_replaced_run_is_used_again_when_nobody_uses_the_newest(
    worker, follower, book, monkeypatch
):
    reader, emma = worker.test_client(), book()
    hit(worker, emma)
    first = run_of(worker)
    add_review(follower.test_client(), emma)
    hit(follower, emma)
    end_lease(worker)
    assert review_count(reader, emma) == (1, REPLACED)
    monkeypatch.setattr(runs, "UNUSED_SECONDS", 0.0)
    # Its old entry, with no review, is not: it was invalidated before.
    counts = []

    def is_used_again():
        count, status = review_count(reader, emma)
        counts.append(count)
        return status == HIT

    wait_until(is_used_again)
    assert set(counts) == {1}
    assert used_runs(worker) == [first, run_of(follower), first]


def test_a_replaced_run_is_not_used_again_while_others_use_the_newest(
    postgres_database, make_app, old, new, monkeypatch
):
    monkeypatch.setattr(runs, "UNUSED_SECONDS", 0.0)
    apps = [make_app(postgres_database, redis_url=patient(server.url)) for server in (old, new)]
    left_behind, using = map(runs_of, apps)
    left_behind.confirm(run_of(apps[0]))
    using.confirm(run_of(apps[1]))
    for _ in range(3):
        monkeypatch.setattr(runs, "USE_EVERY_SECONDS", 0.0)
        using.record_use(run_of(apps[1]))
        with pytest.raises(RunReplaced):
            left_behind.confirm(run_of(apps[0]))
    left_behind.confirm(run_of(apps[0]))
    with pytest.raises(RunReplaced):
        using.confirm(run_of(apps[1]))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_of_two_runs_that_are_added_at_once_one_comes_first(kind, request, make_app, old, new):
    url = request.getfixturevalue(f"{kind}_database")
    one, other = (make_app(url, redis_url=patient(server.url)) for server in (old, new))
    mine, theirs = run_of(one), run_of(other)

    def be_faster(_c, _cursor, statement, *_):
        if statement.startswith("INSERT INTO cache_run") and not used_runs(other):
            runs_of(other).confirm(theirs)

    event.listen(services_of(one).autocommit_engine, "before_cursor_execute", be_faster)
    with pytest.raises(RunReplaced):
        runs_of(one).confirm(mine)
    assert used_runs(one) == [theirs]
    runs_of(one).confirm(mine)
    assert used_runs(one) == [theirs, mine]


def test_a_run_that_is_gone_is_not_added(worker):
    with pytest.raises(RedisUnavailable, match="reconnecting"):
        runs_of(worker).confirm("a run that has ended")
    assert used_runs(worker) == []


def test_only_the_newest_runs_are_kept(worker):
    with services_of(worker).autocommit_engine.connect() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) "
                "INSERT INTO cache_run (id, run_id, uses, created_at) "
                "SELECT i, 'run ' || i, 0, '2026-01-01' FROM n"
            )
        )
    runs_of(worker).confirm(run_of(worker))
    found = used_runs(worker)
    assert (len(found), found[0], found[-1]) == (KEPT_RUNS, "run 52", run_of(worker))


class TestWithSentinel:
    """A Sentinel says which of the two is the master, and can be told another one at once."""

    @pytest.fixture
    def sentinel(self, old):
        with Sentinel(old) as sentinel:
            yield sentinel

    @pytest.fixture
    def fail_over(self, sentinel, new):
        return lambda: sentinel.watch(new)

    @pytest.fixture
    def without_redis(self, make_app, database):
        return make_app(database)

    @pytest.fixture
    def worker(self, make_app, database, sentinel, old):
        url = f"redis+sentinel://:{old.password}@127.0.0.1:{sentinel.port}/bookstall/0"
        return make_app(database, redis_url=patient(url))

    def test_a_writer_that_was_left_behind_finds_the_new_master_at_once(
        self, worker, follower, fail_over, book
    ):
        emma = book()
        hit(worker, emma)
        reader = hit(follower, emma)
        fail_over()
        add_review(worker.test_client(), emma)
        assert outbox_size(worker) == 0
        assert run_of(worker) == run_of(follower)
        assert review_count(reader, emma)[0] == 1

    def test_a_thread_that_is_connected_to_another_master_than_the_lease_serves_nothing(
        self, worker, fail_over, book
    ):
        emma, reader = book(), worker.test_client()
        with ThreadPoolExecutor(1) as other:
            other.submit(hit, worker, emma).result(PATIENCE)
            fail_over()
            services_of(worker).redis.close()
            end_lease(worker)
            hit(worker, emma)
            _, status = other.submit(review_count, reader, emma).result(PATIENCE)
            # On a busy machine the lease is over, and that thread is the one that renews it.
            assert status in {"bookstall; fwd=bypass; detail=redis-reconnecting", REPLACED}
            other.submit(hit, worker, emma).result(PATIENCE)

    def test_a_lease_whose_redis_changes_while_it_is_renewed_does_not_begin(
        self, worker, without_redis, fail_over, book, monkeypatch
    ):
        emma, reader = book(), hit(worker, book())
        add_review(without_redis.test_client(), emma)  # without Redis: its row stays
        undelivered = outbox.undelivered

        def change_before(engine):
            fail_over()
            services_of(worker).redis.close()
            return undelivered(engine)

        monkeypatch.setattr(outbox, "undelivered", change_before)
        end_lease(worker)
        status = review_count(reader, emma)
        assert status == (1, "bookstall; fwd=bypass; detail=redis-reconnecting")
        assert outbox_size(worker) == 1
        monkeypatch.undo()
        hit(worker, emma)
        assert outbox_size(worker) == 0
