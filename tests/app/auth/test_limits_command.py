"""`flask limits suggest`, and the figures that it reads."""

import re
from contextlib import ExitStack
from threading import Thread
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY
from werkzeug.serving import make_server

from app.auth import demand as demand_module
from app.auth.demand import BUCKETS, METRIC, SECONDS, SLOTS, Demand
from tests.app.auth.keys import BOOK


class Clock:
    """The clock of `app/auth/demand.py`, which a test sets."""

    def __init__(self):
        self.now = 1_000_000.0

    def monotonic(self):
        return self.now

    def next_minute(self):
        self.now += SECONDS


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(demand_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def recorded(kind):
    """Return in how many minutes a client sent at most as many requests as each bucket says."""
    labels = [(bound, str(float(bound))) for bound in BUCKETS]
    values = {
        bound: REGISTRY.get_sample_value(f"{METRIC}_bucket", {"kind": kind, "le": text})
        for bound, text in labels
    }
    return {bound: value or 0 for bound, value in values.items()}


def added(kind, before):
    return {bound: value - before[bound] for bound, value in recorded(kind).items()}


def test_each_client_counts_once_in_each_minute_with_all_its_requests(clock, tmp_path):
    first, second = Demand("read", tmp_path), Demand("read", tmp_path)  # two workers
    before = recorded("read")
    for _ in range(3):
        first.record("address 192.0.2.1")
        second.record("address 192.0.2.1")
    second.record("key 0123456789ab")
    assert added("read", before) == dict.fromkeys(BUCKETS, 0)  # the minute is not over
    clock.next_minute()
    first.complete_minute()
    second.record("address 192.0.2.1")
    assert added("read", before) == {n: 0 + (n >= 1) + (n >= 7) for n in BUCKETS}
    clock.next_minute()
    second.complete_minute()
    first.complete_minute()
    assert added("read", before) == {n: 2 * (n >= 1) + (n >= 7) for n in BUCKETS}


def test_a_minute_of_many_clients_counts_nearly_all_of_them(clock):
    demand, before = Demand("write", None), recorded("write")
    for number in range(1_000):
        demand.record(f"address 192.0.{number // 250}.{number % 250}")
    clock.next_minute()
    demand.complete_minute()
    assert len(demand._counts) == SLOTS
    assert 950 <= added("write", before)[100_000] <= 1_000


METRICS = f"""
# TYPE {METRIC} histogram
{METRIC}_bucket{{kind="read",le="1.0"}} 700
{METRIC}_bucket{{kind="read",le="30.0"}} 998
{METRIC}_bucket{{kind="read",le="70.0"}} 1999
{METRIC}_bucket{{kind="read",le="500.0"}} 2000
{METRIC}_bucket{{kind="read",le="+Inf"}} 2000
"""


@pytest.fixture
def suggest(app, monkeypatch):
    """Run the command on pages that are given in the place of those of services."""

    def run(*pages, options=()):
        waiting = iter(pages)
        monkeypatch.setattr("app.commands.limits._read", lambda *_: next(waiting))
        urls = ["http://127.0.0.1:1/metrics"] * len(pages)
        return app.test_cli_runner().invoke(args=["limits", "suggest", *urls, *options])

    return run


def test_the_quota_is_twice_what_nearly_all_clients_send_in_a_minute(suggest):
    result = suggest(METRICS)
    assert result.exit_code == 0, result.output
    assert result.stdout == "RATE_LIMIT_READ=150/minute\n"  # at least 2 * 70
    assert "reads in 2000 minutes of a client: 50 % <= 70, 99 % <= 70, 99.9 % <= 70" in (
        result.stderr
    )
    assert "writes: no minute is over yet" in result.stderr
    assert "RATE_LIMIT_TRIAL=true" in result.stderr


def test_the_figures_of_several_hosts_are_added(suggest):
    write = METRICS.replace('"read"', '"write"')
    result = suggest(METRICS, write, write)
    assert result.stdout == "RATE_LIMIT_READ=150/minute\nRATE_LIMIT_WRITE=150/minute\n"
    assert "writes in 4000 minutes" in result.stderr


@pytest.mark.parametrize(("cover", "quota"), [("50", 150), ("100", 1_000)])
def test_the_share_that_is_covered_is_an_option(suggest, cover, quota):
    result = suggest(METRICS, options=["--cover", cover])
    assert result.stdout == f"RATE_LIMIT_READ={quota}/minute\n"
    assert ("the busiest minute counts" in result.stderr) == (cover == "100")


def test_a_share_that_is_no_number_proposes_nothing(suggest):
    assert suggest(METRICS, options=["--cover", "nan"]).stdout == ""
    assert "is not in the range" in suggest(METRICS, options=["--cover", "101"]).output


def test_what_cannot_be_counted_is_not_proposed(suggest):
    result = suggest(METRICS.replace('"500.0"} 2000', '"500.0"} 1000').replace("1999", "1000"))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "choose a quota by hand" in result.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/metrics", "cannot be read"),
        ("ftp://127.0.0.1/metrics", "not a URL of http or https"),
        ("nonsense", "not a URL of http or https"),
        ("http://127.0.0.1:x/", "not a URL of http or https"),
    ],
)
def test_an_address_without_a_service_is_an_error_of_one_line(app, url, message):
    result = app.test_cli_runner().invoke(args=["limits", "suggest", url])
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("page", ["<!doctype html>\n<p>{</p>", '{"status": 404}'])
def test_a_page_without_metrics_is_an_error_of_one_line(suggest, page):
    result = suggest(page)
    assert result.exit_code == 1
    assert re.search("has no metrics|nothing to propose", result.output)


@pytest.fixture
def serve_app():
    """Serve applications of this process, so that a test can set their clock."""
    with ExitStack() as running:

        def serve(app):
            server = make_server("127.0.0.1", 0, app, threaded=True)
            running.callback(server.server_close)
            running.callback(server.shutdown)
            Thread(target=server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


def test_a_running_service_is_asked_with_its_token(make_app, database, clock, serve_app):
    app = make_app(database, metrics_token="a-token-of-ours", rate_limit_read=None)
    url, before = serve_app(app), recorded("read")
    client = app.test_client()
    for _ in range(4):
        assert client.get("/books").status_code == 200
    assert client.post("/books", json=BOOK).status_code == 201
    assert client.get("/healthz").status_code == 200  # no client's quota
    clock.next_minute()
    result = app.test_cli_runner().invoke(args=["limits", "suggest", f"{url}/metrics"])
    assert result.exit_code == 0, result.output
    assert added("read", before)[5] - added("read", before)[3] == 1
    assert re.search(r"RATE_LIMIT_READ=\d+/minute\nRATE_LIMIT_WRITE=\d+/minute\n", result.stdout)


def test_a_service_that_wants_a_token_says_so(make_app, sqlite_database, serve_app):
    url = serve_app(make_app(sqlite_database, metrics_token="a-token-of-ours"))
    other = make_app(sqlite_database)
    result = other.test_cli_runner().invoke(args=["limits", "suggest", url])
    assert result.exit_code == 1
    assert "401; set METRICS_TOKEN" in result.output
