"""The log of a running service: one line per request, which clients cannot forge."""

import io
import json
import logging
import re
import threading

import pytest
from sqlalchemy import create_engine, insert

from app.auth.api_keys import ApiKey, new_token
from app.logging import BatchingStreamHandler, JsonFormatter, TextFormatter
from tests.waiting import PATIENCE, wait_until

FORGED = "/books%0A%7B%22message%22%3A%22forged%22%7D%0D%1B%5B31m%E2%80%A8%C2%85"


@pytest.fixture
def keys_of():
    """Create an API key in the database at a URL; return the token."""

    def create(url):
        token, public, digest = new_token()
        engine = create_engine(url)
        with engine.begin() as connection:
            row = {"name": "test", "public": public, "digest": digest, "scopes": []}
            connection.execute(insert(ApiKey).values(row))
        engine.dispose()
        return token

    return create


@pytest.fixture
def log_of(serve, sqlite_database):
    """Run the service, send requests, stop it, and return the log lines of the requests."""

    def run(log_format, *requests):
        server = serve(DATABASE_URL=sqlite_database, LOG_FORMAT=log_format, WEB_CONCURRENCY="1")
        for method, path, headers in requests:
            server.request(method, path, **headers)
        server.stop()
        lines = server.log.read_text().split("\n")
        other = (
            "/healthz",
            "REQUIRE_API_KEY",
            "Bookstall listens",
            "buffering proxy",
            "slow query",
        )
        return [line for line in lines if line and not any(part in line for part in other)]

    return run


def test_a_json_record_has_the_fields_of_the_request(log_of):
    [line] = log_of("json", ("GET", "/books?limit=1", {"X_Request_ID": "id-of-a-client"}))
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert 0 < fields.pop("ms") < 1_000 * PATIENCE
    assert fields == {
        "level": "info",
        "logger": "bookstall.request",
        "message": "GET /books",
        "request_id": "id-of-a-client",
        "client": "127.0.0.1",
        "method": "GET",
        "route": "/books",
        "status": 200,
        "bytes": len(b'{"items":[],"next_cursor":null}'),
        "cache": "fwd=bypass; detail=no-redis",
    }


def test_json_records_can_contain_everything_that_a_client_sends(log_of):
    lines = log_of(
        "json",
        ("GET", FORGED, {}),
        ("GET", "/%ff%ed%a0%80", {}),
        ("GET", "/%C3%A9mile?q=a", {"X_Request_ID": "not fit to be an id"}),
        ("HEAD", "/books/7", {}),
    )
    records = [json.loads(line) for line in lines]
    assert [(record["status"], record["route"]) for record in records] == [
        (404, "unmatched"),
        (404, "unmatched"),
        (404, "unmatched"),
        (404, "/books/<id:book_id>"),
    ]
    assert records[2]["message"] == "GET /\u00e9mile"
    assert re.fullmatch("[0-9a-f]{16}", records[2]["request_id"])
    assert records[3]["message"] == "HEAD /books/7"


def test_text_has_one_printable_line_per_request(log_of):
    lines = log_of("text", ("GET", FORGED, {}), ("GET", "/books", {}))
    assert len(lines) == 2
    assert all(re.match(r"\d\d:\d\d:\d\d INFO GET /books", line) for line in lines)
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert re.search(r" client=127.0.0.1 method=GET route=unmatched status=404 ", lines[0])


def error_record(message, error=None):
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord("app", logging.ERROR, "path", 1, message, (), exc_info)


def test_json_escapes_lone_surrogates_and_newlines():
    line = JsonFormatter().format(error_record("half \ud800\n", ValueError("two\nlines \udfff")))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["message"] == "half \\ud800\n"
    assert "two\nlines" in fields["exception"]


def test_text_escapes_characters_that_start_a_new_line():
    line = TextFormatter().format(error_record("one\ntwo\r\u2028three"))
    assert line.endswith("one\\ntwo\\r\\u2028three")


def test_text_indents_an_exception_and_escapes_its_control_characters():
    forged = ValueError("first\n12:00:00 INFO forged\r\x1b[31m\u2028\x85")
    first, *others = TextFormatter().format(error_record("failed", forged)).split("\n")
    assert first.endswith("ERRO failed")
    assert all(line.startswith("    ") for line in others)
    assert others[-1] == "    12:00:00 INFO forged\\r\\x1b[31m\\u2028\\x85"


def test_text_escapes_the_fields_of_a_record():
    record = error_record("said")
    record.route = "/graphql\n12:00:00 INFO forged"
    assert TextFormatter().format(record).endswith("said route=/graphql\\n12:00:00 INFO forged")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_record_says_who_called_and_never_the_secret(serve, sqlite_database, keys_of, log_format):
    token = keys_of(sqlite_database)
    server = serve(DATABASE_URL=sqlite_database, LOG_FORMAT=log_format, TRUSTED_PROXIES="1")
    forwarded = {"X_Forwarded_For": "6.6.6.6, [2001:db8::7]:4711"}
    server.request("GET", "/books?a=1", Authorization=f"Bearer {token}", **forwarded)
    server.request("HEAD", "/books", Authorization="Bearer bks_wrong", **forwarded)
    server.stop()
    log = server.log.read_text()
    public = token.split("_")[1]
    if log_format == "json":
        # Each worker writes its own records, so that theirs are in any order.
        records = [json.loads(line) for line in log.splitlines() if "/books" in line]
        known, unknown = sorted(records, key=lambda record: record["method"])
        assert (known["client"], known["key"], known["status"]) == ("2001:db8::7", public, 422)
        assert known["bytes"] > 100
        assert (unknown["client"], unknown["status"], unknown["bytes"]) == ("2001:db8::7", 401, 0)
        assert "key" not in unknown
    else:
        assert f"client=2001:db8::7 key={public} method=GET route=/books status=422 bytes=" in log
    assert token.split("_", 2)[2] not in log
    assert "bks_" not in log


class CountingStream(io.StringIO):
    """Counts its writes."""

    def __init__(self):
        super().__init__()
        self.writes = 0

    def write(self, text):
        self.writes += 1
        return super().write(text)


def record_of(level, message):
    return logging.LogRecord("bookstall.request", level, "path", 1, message, (), None)


def test_request_records_are_written_in_one_batch_and_in_order(monkeypatch):
    monkeypatch.setattr("app.logging.BATCH_SECONDS", 60)
    handler = BatchingStreamHandler(stream := CountingStream())
    for number in range(100):
        handler.handle(record_of(logging.INFO, str(number)))
    handler.flush()
    assert stream.getvalue().split() == [str(number) for number in range(100)]
    assert stream.writes <= 2


def test_a_warning_is_written_immediately_after_the_earlier_records():
    handler = BatchingStreamHandler(stream := CountingStream())
    handler.handle(record_of(logging.INFO, "before"))
    handler.handle(record_of(logging.WARNING, "now"))
    assert stream.getvalue().split() == ["before", "now"]


def test_a_batch_is_written_soon_even_if_no_record_follows():
    handler = BatchingStreamHandler(stream := CountingStream())
    handler.handle(record_of(logging.INFO, "alone"))
    wait_until(stream.getvalue)
    assert stream.getvalue() == "alone\n"


def test_a_batch_that_is_full_is_formatted_before_its_time(monkeypatch):
    monkeypatch.setattr("app.logging.MAX_BATCHED", 10)
    monkeypatch.setattr("app.logging.BATCH_SECONDS", 60)
    monkeypatch.setattr("app.logging.LATE_SECONDS", PATIENCE)
    batches = []
    monkeypatch.setattr("app.logging._counters", [lambda records: batches.append(len(records))])
    handler = BatchingStreamHandler(CountingStream())
    for number in range(12):
        handler.handle(record_of(logging.INFO, str(number)))
    assert batches == [11]
    handler.flush()  # else its thread would count the last one during a later test


class BlockedStream(CountingStream):
    """Takes nothing until it is opened."""

    def __init__(self):
        super().__init__()
        self.opened, self.waiting = threading.Event(), threading.Event()

    def write(self, text):
        self.waiting.set()
        assert self.opened.wait(PATIENCE)
        return super().write(text)


@pytest.fixture
def blocked(monkeypatch):
    """A handler whose writer waits for its stream."""
    monkeypatch.setattr("app.logging.MAX_BATCHED", 10)
    monkeypatch.setattr("app.logging.MAX_LINES", 20)
    handler = BatchingStreamHandler(BlockedStream())
    handler.handle(record_of(logging.INFO, "0"))
    assert handler.stream.waiting.wait(PATIENCE)
    yield handler
    handler.stream.opened.set()


def test_a_stream_that_takes_nothing_stops_no_request_and_fills_no_memory(blocked):
    for number in range(1, 1_000):
        blocked.handle(record_of(logging.INFO, str(number)))
    assert len(blocked._batch) <= 10
    assert len(blocked._lines) == 20
    blocked.stream.opened.set()
    blocked.flush()
    blocked.handle(record_of(logging.WARNING, "later"))
    *first, said, last = blocked.stream.getvalue().splitlines()
    assert first == [str(number) for number in range(len(first))]
    assert said.startswith(f"{1_000 - len(first)} records were dropped: ")
    assert last == "later"


def test_records_are_counted_while_the_stream_takes_nothing(blocked, monkeypatch):
    counted = []
    monkeypatch.setattr("app.logging._counters", [counted.extend])
    blocked.handle(record_of(logging.INFO, "1"))
    blocked.collect()  # as each scrape does
    assert [record.getMessage() for record in counted] == ["1"]
    monkeypatch.setattr("app.logging.LATE_SECONDS", -1)
    blocked.collect()
    blocked.handle(record_of(logging.INFO, "2"))  # as a request that comes a second later does
    assert [record.getMessage() for record in counted] == ["1", "2"]


def test_a_record_that_cannot_be_formatted_does_not_stop_the_log(capsys):
    handler = BatchingStreamHandler(stream := CountingStream())
    handler.handle(logging.LogRecord("app", logging.INFO, "path", 1, "%d", ("no number",), None))
    handler.handle(record_of(logging.INFO, "next"))
    handler.flush()
    assert stream.getvalue() == "next\n"
    assert "no number" in capsys.readouterr().err
