"""Requests are counted and logged in batches: none is lost, whatever happens to the process."""

import contextlib
import fcntl
import io
import json
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from app.http import instrumentation
from app.http.instrumentation import BUCKETS, SECONDS, record_request
from app.logging import BatchingStreamHandler, JsonFormatter
from stress.service import ROOT
from tests.app.private_names import check
from tests.servers import Gunicorn, LiveGunicorn
from tests.waiting import PATIENCE, wait_until

PATH = "/openapi.json"


@pytest.mark.parametrize("name", instrumentation.PRIVATE_NAMES)
def test_prometheus_client_has_the_private_name(name):
    check(name, instrumentation, "prometheus_client")


@pytest.fixture
def handler(monkeypatch):
    """A batching handler as init_logging installs it, on a stream in memory."""
    handler = BatchingStreamHandler(io.StringIO())
    handler.setFormatter(JsonFormatter())
    monkeypatch.setattr(logging.root, "handlers", [handler])
    return handler


def record(route, *, seconds=0.002, cache="hit; ttl=7"):
    environ = {"PATH_INFO": "/books/7", "HTTP_X_REQUEST_ID": "an-id"}
    known = {"status": "200", "client": "127.0.0.1", "key": None, "size": 12}
    record_request(environ, "GET", route, cache=cache, seconds=seconds, **known)


def sample(name, **labels):
    return REGISTRY.get_sample_value(f"bookstall_{name}", labels) or 0


def requests(route):
    return sample("requests_total", method="GET", route=route, status="200", cache="hit")


def test_many_observations_at_once_count_as_each_by_itself():
    expected = Histogram("expected_seconds", "", ["route"], buckets=BUCKETS, registry=None)
    amounts = [0, *BUCKETS, *(bucket * 1.01 for bucket in BUCKETS), 1e9]
    for amount in amounts:
        expected.labels("/at/once").observe(amount)
    SECONDS.labels("/at/once").observe_all(amounts)
    [metric] = expected.collect()
    found = [one for one in metric.samples if not one.name.endswith("_created")]
    assert len(found) == len(BUCKETS) + 3
    for one in found:
        name = one.name.replace("expected", "request")
        assert sample(name, **one.labels) == pytest.approx(one.value), one


def test_threads_that_record_at_once_lose_neither_a_count_nor_a_line(handler, monkeypatch):
    threads, each = 8, 3_000
    # The thread that writes may get no time until all of them wait.
    monkeypatch.setattr("app.logging.MAX_LINES", threads * each)
    finished = Event()

    def scrape():
        while not finished.is_set():
            handler.collect()

    scraper = Thread(target=scrape, daemon=True)
    scraper.start()
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(lambda: [record("/threads") for _ in range(each)])
    finished.set()
    scraper.join(PATIENCE)
    handler.flush()
    assert requests("/threads") == threads * each
    assert sample("request_seconds_count", route="/threads") == threads * each
    total = sample("request_seconds_sum", route="/threads")
    assert total == pytest.approx(threads * each * 0.002)
    assert handler.stream.getvalue().count('"route":"/threads"') == threads * each


def test_a_request_is_counted_by_the_writing_thread(handler):
    record("/alone")
    wait_until(lambda: requests("/alone") == 1)


def test_the_order_of_records_of_requests_and_of_others_is_kept(handler):
    log = logging.getLogger("bookstall.connection")
    log.setLevel(logging.INFO)
    record("/first")
    log.info("second")
    record("/third")
    log.warning("fourth")
    lines = [json.loads(line) for line in handler.stream.getvalue().splitlines()]
    # Without those of a thread that an earlier test has left.
    said = [line.get("route", line["message"]) for line in lines if "bookstall." in line["logger"]]
    assert said == ["/first", "second", "/third", "fourth"]


def test_without_the_handler_a_request_is_counted_and_logged_at_once(caplog):
    caplog.set_level(logging.INFO, "bookstall.request")
    record("/immediate")
    assert requests("/immediate") == 1
    [logged] = [each for each in caplog.records if each.name == "bookstall.request"]
    assert logged.levelname == "INFO"
    assert (logged.getMessage(), logged.route, logged.ms) == ("GET /books/7", "/immediate", 2.0)
    assert "GET /books/7" in caplog.text


def test_metrics_that_cannot_be_written_do_not_stop_the_log(handler, monkeypatch, capsys):
    def fail(records):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.logging._counters", [fail])
    record("/uncounted")
    handler.flush()
    assert '"route":"/uncounted"' in handler.stream.getvalue()
    assert "No space left" in capsys.readouterr().err


@pytest.fixture(params=["serve", "serve_live"], ids=["wsgi", "asgi"])
def start(request, sqlite_database, tmp_path):
    """Start a service of two workers of each kind, whose metrics outlive it."""
    factory = request.getfixturevalue(request.param)
    folder = tmp_path / "metrics"
    settings = {
        "DATABASE_URL": sqlite_database,
        "WEB_CONCURRENCY": "2",
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }
    return lambda **more: factory(**settings, **more)


def get_often(server, times):
    def get():
        # While workers are replaced, nobody may listen for a moment, and one that ends may not have
        # accepted a connection.
        with contextlib.suppress(ConnectionError):
            return server.request("GET", PATH)[0]

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: wait_until(get), range(times)))
    assert statuses == [200] * times


def counted(server):
    """Return the requests that the files of the metrics have, without asking a worker."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=server.environment["PROMETHEUS_MULTIPROC_DIR"])
    labels = {"method": "GET", "route": PATH, "status": "200", "cache": "fwd=bypass"}
    counter = registry.get_sample_value("bookstall_requests_total", labels)
    timer = registry.get_sample_value("bookstall_request_seconds_count", {"route": PATH})
    assert (counter is None) == (timer is None)
    return counter or 0


def logged(server):
    return server.log.read_text().count(f'"route":"{PATH}"')


@pytest.mark.parametrize(("module", "service"), [("wsgi", Gunicorn), ("asgi", LiveGunicorn)])
def test_a_stop_loses_neither_counts_nor_lines(module, service, sqlite_database, tmp_path):
    # The writing thread waits for ten minutes: what is found was written at the end.
    slow = f"import app.logging\napp.logging.BATCH_SECONDS = 600\nfrom {module} import app\n"
    (tmp_path / "slow.py").write_text(slow)
    server = service(
        DATABASE_URL=sqlite_database,
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"),
        PYTHONPATH=f"{tmp_path}:{ROOT}",
        WEB_CONCURRENCY="2",
    )
    server._application = "slow:app"
    with server:
        get_often(server, 40)
        assert logged(server) == 0
        server.terminate()
        assert server.wait() == 0
        assert (counted(server), logged(server)) == (40, 40)
        # Nor was it written because of a warning.
        assert '"level":"warning","logger":"app.server' not in server.log.read_text()


def test_a_worker_that_ends_after_its_requests_loses_neither_counts_nor_lines(start):
    server = start(GUNICORN_CMD_ARGS="--max-requests 15")
    before = set(server.workers())
    get_often(server, 60)
    wait_until(lambda: not before & set(server.workers()))
    server.terminate()
    assert server.wait() == 0
    assert (counted(server), logged(server)) == (60, 60)


def test_a_killed_worker_loses_only_what_was_not_yet_published(start):
    server = start()
    get_often(server, 40)
    wait_until(lambda: (counted(server), logged(server)) == (40, 40))  # without a scrape
    before = server.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(server.workers()) == 2 and not set(before) & set(server.workers()))
    get_often(server, 1)
    server.terminate()
    assert server.wait() == 0
    assert (counted(server), logged(server)) == (41, 41)


@pytest.mark.parametrize("service", [Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def test_a_log_that_nobody_reads_stops_neither_requests_nor_metrics(
    service, sqlite_database, tmp_path
):
    folder = tmp_path / "metrics"
    server = service(DATABASE_URL=sqlite_database, PROMETHEUS_MULTIPROC_DIR=str(folder))
    os.mkfifo(server.log)
    pipe = os.open(server.log, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 8_192)
    with os.fdopen(pipe, "rb") as log, server, ThreadPoolExecutor(1) as pool:
        get_often(server, 100)
        # Each scrape is a request too: in time one reaches each worker.
        wait_until(lambda: server.request("GET", "/metrics")[0] == 200 and counted(server) == 100)
        os.set_blocking(pipe, True)
        lines = pool.submit(log.read)
        server.terminate()
        assert server.wait() == 0
        assert lines.result(PATIENCE).count(f'"route":"{PATH}"'.encode()) == 100
