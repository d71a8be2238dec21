"""The gauges of workers, and the figures of their processes: sums that dead workers leave."""

import os
import re
import signal
from contextlib import ExitStack

import pytest
from prometheus_client import REGISTRY
from prometheus_client.mmap_dict import MmapedDict
from sqlalchemy import create_engine

from app.config import database_url
from app.metrics import processes
from app.metrics.processes import ProcessMetrics
from app.metrics.workers import AllWorkers, WorkerGauges
from app.redis.circuit_breaker import CircuitBreaker
from app.services import services_of
from tests.waiting import wait_until

MIB = 1_048_576


def sample(name):
    return REGISTRY.get_sample_value(f"bookstall_{name}")


def metrics(server):
    """Return the samples of a service by their names and labels."""
    status, _, page = server.request("GET", "/metrics")
    assert status == 200
    found = re.findall(r"^bookstall_(\S+) (\S+)$", page.decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.fixture(params=["serve", "serve_live"], ids=["wsgi", "asgi"])
def server(request, sqlite_database):
    """A service of two workers of each kind."""
    start = request.getfixturevalue(request.param)
    return start(DATABASE_URL=sqlite_database, WEB_CONCURRENCY="2")


def test_all_workers_count_and_one_that_died_vanishes(server):
    for _ in range(8):
        assert server.request("GET", "/books")[0] == 200
    wait_until(lambda: metrics(server)["memory_hits_total"] in {6, 7})  # of each worker all but one
    wait_until(lambda: metrics(server)["memory_entries"] in {1, 2})
    assert metrics(server)["memory_bytes"] > 1_000
    shown = wait_until(lambda: (m := metrics(server))["pool_size"] == 10 and m)
    assert shown["workers"] == 2
    assert 20 * MIB < shown["process_resident_bytes"] < 2_000 * MIB
    assert shown["process_open_files"] > 20
    cpu = shown["process_cpu_seconds_total"]
    assert cpu > 0.2
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in (now := server.workers()) and len(now) == 2)

    def is_replaced():
        shown = metrics(server)
        assert shown["process_cpu_seconds_total"] >= cpu
        return shown["workers"] == 2 and shown["pool_size"] == 10

    wait_until(is_replaced)


def test_connections_in_use_are_shown():
    pool = create_engine("sqlite:////dev/null", pool_size=2, max_overflow=2).pool
    taken = [pool.connect() for _ in range(3)]
    WorkerGauges(pool, None).update()
    assert [sample("pool_in_use"), sample("pool_size")] == [3, 3]
    for connection in taken:
        connection.close()
    WorkerGauges(pool, None).update()
    assert [sample("pool_in_use"), sample("pool_size")] == [0, 2]


def test_the_connections_to_a_replica_are_not_shown(make_app):
    """They would hide that those to the primary are all in use."""
    url = database_url("postgresql://u@127.0.0.1:1/none")
    services = services_of(make_app(url, redis_url="redis://127.0.0.1:1/0", database_read_url=url))
    assert services.cache.replica.engine.pool.size() > 0
    services.worker_gauges.update()
    assert sample("pool_size") == services.autocommit_engine.pool.size()


def test_an_open_breaker_is_shown():
    breaker = CircuitBreaker()
    gauges = WorkerGauges(create_engine("sqlite://").pool, breaker)
    for change, expected in ((breaker.record_failure, 1), (breaker.record_success, 0)):
        change()
        gauges.update()
        assert sample("breaker_open") == expected


def test_a_worker_that_creates_its_files_now_is_left_out(tmp_path):
    MmapedDict(str(tmp_path / "counter_1.db")).close()
    (tmp_path / "counter_2.db").touch()
    assert list(AllWorkers(str(tmp_path)).collect()) == []


def figures():
    """Return the samples of ProcessMetrics."""
    samples = [sample for metric in ProcessMetrics().collect() for sample in metric.samples]
    return {each.name.removeprefix("bookstall_"): each.value for each in samples}


def test_without_gunicorn_the_figures_are_those_of_this_process(tmp_path):
    before = figures()
    with ExitStack() as opened:
        # Many: a thread of an earlier test may close some.
        for number in range(50):
            opened.enter_context((tmp_path / str(number)).open("w"))
        after = figures()
    assert after["workers"] == 1
    assert after["process_open_files"] > before["process_open_files"] + 25
    assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"] > 0
    assert after["process_resident_bytes"] > 10 * MIB


def test_without_proc_there_are_no_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "PROC", tmp_path / "none")
    assert figures() == {}


def test_the_worker_of_another_master_or_of_none_is_not_counted(monkeypatch, tmp_path):
    monkeypatch.setenv(processes.METRICS_VARIABLE, str(tmp_path))
    for pid in (os.getppid(), 2**22 + 1):
        (tmp_path / f"gauge_livesum_{pid}.db").touch()
    assert figures()["workers"] == 1
