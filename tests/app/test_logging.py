"""The log of a running service: one line per request, which clients cannot forge."""

import io
import json
import logging
import re
import time

import pytest

from app.logging import BatchingStreamHandler, JsonFormatter, TextFormatter

FORGED = "/books%0A%7B%22message%22%3A%22forged%22%7D%0D%1B%5B31m%E2%80%A8%C2%85"


@pytest.fixture
def log_of(serve, sqlite_database):
    """Run the service, send requests, stop it, and return the log lines of the requests."""

    def run(log_format, *requests):
        server = serve(DATABASE_URL=sqlite_database, LOG_FORMAT=log_format, WEB_CONCURRENCY="1")
        for method, path, headers in requests:
            server.request(method, path, **headers)
        server.stop()
        lines = server.log.read_text().split("\n")
        other = ("/healthz", "REQUIRE_API_KEY", "Bookstall listens")
        return [line for line in lines if line and not any(part in line for part in other)]

    return run


def test_a_json_record_has_the_fields_of_the_request(log_of):
    [line] = log_of("json", ("GET", "/books?limit=1", {"X_Request_ID": "id-of-a-client"}))
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert 0 < fields.pop("ms") < 10_000
    assert fields == {
        "level": "info",
        "logger": "bookstall.request",
        "message": "GET /books",
        "request_id": "id-of-a-client",
        "route": "/books",
        "status": 200,
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
    assert re.search(r" 404 [\d.]+ ", lines[0])


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


def test_request_records_are_written_in_one_batch_and_in_order():
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
    deadline = time.monotonic() + 10
    while not stream.getvalue():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert stream.getvalue() == "alone\n"


def test_the_size_of_a_batch_is_bounded(monkeypatch):
    monkeypatch.setattr("app.logging.MAX_BATCHED", 10)
    monkeypatch.setattr("app.logging.BATCH_SECONDS", 60)
    handler = BatchingStreamHandler(stream := CountingStream())
    for number in range(11):
        handler.handle(record_of(logging.INFO, str(number)))
    assert len(stream.getvalue().split()) == 11


def test_a_record_that_cannot_be_formatted_does_not_stop_the_log(capsys):
    handler = BatchingStreamHandler(stream := CountingStream())
    handler.handle(logging.LogRecord("app", logging.INFO, "path", 1, "%d", ("no number",), None))
    handler.handle(record_of(logging.INFO, "next"))
    handler.flush()
    assert stream.getvalue() == "next\n"
    assert "no number" in capsys.readouterr().err
