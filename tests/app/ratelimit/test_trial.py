"""RATE_LIMIT_TRIAL: the limits count, and say what they would refuse, but refuse nothing."""

import logging
import re
from itertools import count

import pytest
from prometheus_client import REGISTRY

from app.auth import refusals as refusals_module
from app.auth.refusals import Refusals
from app.config import Rate
from app.errors import TooManyRequests
from tests.app.auth.keys import BOOK, bearer, make_key
from tests.waiting import wait_until

MUTATION = 'mutation { addReview(bookId: "1", rating: 4, reviewer: "A", text: "B") { id } }'
ADDRESSES = (f"198.51.100.{number}" for number in count(1))
"""Redis remembers those of other tests."""
LIMITS = {"rate_limit_read": Rate(3, 60), "rate_limit_write": Rate(2, 60)}


def beyond(kind, outcome="served"):
    labels = {"kind": kind, "outcome": outcome}
    return REGISTRY.get_sample_value("bookstall_rate_limited_total", labels) or 0


@pytest.fixture(params=["without Redis", "with Redis"])
def on_trial(request, make_app, database, late_responses):
    redis = {} if request.param == "without Redis" else {"redis_url": "redis_url"}
    redis = {name: request.getfixturevalue(name) for name in redis}
    return make_app(database, rate_limit_trial=True, **LIMITS, **redis)


def test_everything_is_served_and_the_headers_are_those_of_the_limit(on_trial, caplog):
    client, served = on_trial.test_client(), beyond("read")
    address = next(ADDRESSES)
    remote = {"REMOTE_ADDR": address}
    responses = [client.get("/books", environ_overrides=remote) for _ in range(6)]
    assert [response.status_code for response in responses] == [200] * 6
    left = [response.headers["RateLimit"].split(";")[1] for response in responses]
    assert left == ["r=2", "r=1", "r=0", "r=0", "r=0", "r=0"]
    assert not any("Retry-After" in response.headers for response in responses)
    assert beyond("read") - served == 3
    (line,) = [record for record in caplog.records if record.name == "bookstall.limits"]
    assert line.getMessage().startswith("would have been refused: 1 read requests")
    assert line.client == address


def test_writes_and_mutations_are_served_too(on_trial, caplog):
    served = beyond("write")
    token = make_key(on_trial, "*")
    client, headers = on_trial.test_client(), bearer(token)
    for _ in range(3):
        assert client.post("/books", json=BOOK, headers=headers).status_code == 201
    for _ in range(2):
        found = client.post("/graphql", json={"query": MUTATION}, headers=headers).json
        assert "errors" not in found
    assert beyond("write") - served == 3
    lines = [record for record in caplog.records if record.name == "bookstall.limits"]
    assert {(line.key, line.args[1]) for line in lines} == {(token[4:16], "write")}


def test_what_is_refused_without_a_trial_is_counted_too(make_limited):
    client, refused = make_limited().test_client(), beyond("read", "refused")
    for _ in range(12):
        client.get("/books")
    assert beyond("read", "refused") - refused == 2


def test_a_client_gets_one_line_a_minute_which_says_how_many_there_were(monkeypatch, caplog):
    refusals, now = Refusals(trial=True), 1_000.0
    monkeypatch.setattr(refusals_module.time, "monotonic", lambda: now)
    caplog.set_level(logging.WARNING)
    for _ in range(5):
        refusals.refuse("address 192.0.2.1", "read", 7)
    refusals.refuse("address 192.0.2.2", "read", 7)
    now += refusals_module.LINE_SECONDS
    refusals.refuse("address 192.0.2.1", "read", 7)
    said = [(record.client, record.args[0]) for record in caplog.records]
    assert said == [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.1", 5)]


def test_the_lines_of_many_clients_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(refusals_module, "MAX_CLIENTS", 50)
    refusals = Refusals(trial=True)
    for number in range(200):
        refusals.refuse(f"address {number}", "read", 7)
    assert len(refusals._lines) <= 50


def test_without_a_trial_there_is_no_line(caplog):
    with pytest.raises(TooManyRequests):
        Refusals(trial=False).refuse("address 192.0.2.1", "read", 7)
    assert [record for record in caplog.records if record.name == "bookstall.limits"] == []


@pytest.mark.parametrize("stack", [False, True], ids=["sqlite", "stack"])
def test_a_hit_from_memory_beyond_the_quota_stays_one(request, serve_live, stack):
    """Under asgi: it is answered on the event loop, and not handed to a thread."""
    redis = {"REDIS_URL": request.getfixturevalue("redis_url")} if stack else {}
    url = request.getfixturevalue("postgres_database" if stack else "sqlite_database")
    settings = {"RATE_LIMIT_READ": "30/minute", "RATE_LIMIT_TRIAL": "true", **redis}
    settings["TRUSTED_PROXIES"] = "1"
    service = serve_live(DATABASE_URL=url, WEB_CONCURRENCY="1", **settings)

    def get(client):
        status, headers, _ = service.request("GET", "/books", X_Forwarded_For=client)
        return status, headers["RateLimit"].split(";")[1], headers["Cache-Status"]

    def served_beyond():
        _, _, page = service.request("GET", "/metrics")
        return float(re.search(rb'_limited_total{kind="read",outcome="served"} (\S+)', page)[1])

    def counts_all():
        """Return whether Redis has counted each request: it may be too late on a busy machine."""
        before, client = served_beyond(), next(ADDRESSES)
        found = [get(client) for _ in range(120)]
        assert {status for status, _, _ in found} == {200}
        memory = [status for _, _, status in found[30:] if "memory" in status]
        assert len(memory) >= 60, found
        lefts = [left for _, left, _ in found]
        is_exact = lefts == [f"r={max(0, n)}" for n in range(29, -91, -1)]
        return is_exact and served_beyond() - before == 90

    assert any(counts_all() for _ in range(5))
    wait_until(lambda: "would have been refused" in service.log.read_text())
    assert "RATE_LIMIT_TRIAL is true" in service.log.read_text()
