"""What the running service writes: one line for each request, which no client can forge."""

import io
import json
import logging
import re
import time

import pytest

from app.logging import GatheringHandler, JsonFormatter, TextFormatter

FORGED = "/books%0A%7B%22message%22%3A%22forged%22%7D%0D%1B%5B31m%E2%80%A8%C2%85"


@pytest.fixture
def lines_of(serve, sqlite_database):
    """Run the service, ask it, stop it, and return the lines that it wrote about requests."""

    def run(log_format, *requests):
        server = serve(DATABASE_URL=sqlite_database, LOG_FORMAT=log_format, WEB_CONCURRENCY="1")
        for method, path, headers in requests:
            server.ask(method, path, **headers)
        server.stop()
        lines = server.log.read_text().split("\n")
        other = ("/healthz", "REQUIRE_API_KEY", "Bookstall answers")
        return [line for line in lines if line and not any(part in line for part in other)]

    return run


def test_json_lines_say_who_what_how_and_how_long(lines_of):
    [line] = lines_of("json", ("GET", "/books?limit=1", {"X_Request_ID": "id-of-a-client"}))
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert 0 < told.pop("ms") < 10_000
    assert told == {
        "level": "info",
        "logger": "bookstall.request",
        "message": "GET /books",
        "request_id": "id-of-a-client",
        "route": "/books",
        "status": 200,
        "cache": "fwd=bypass; detail=no-redis",
    }


def test_json_lines_hold_whatever_a_client_sends(lines_of):
    lines = lines_of(
        "json",
        ("GET", FORGED, {}),
        ("GET", "/%ff%ed%a0%80", {}),
        ("GET", "/%C3%A9mile?q=a", {"X_Request_ID": "not fit to be an id"}),
        ("HEAD", "/books/7", {}),
    )
    told = [json.loads(line) for line in lines]
    assert [(one["status"], one["route"]) for one in told] == [
        (404, "unmatched"),
        (404, "unmatched"),
        (404, "unmatched"),
        (404, "/books/<id:book_id>"),
    ]
    assert told[2]["message"] == "GET /\u00e9mile"
    assert re.fullmatch("[0-9a-f]{16}", told[2]["request_id"])
    assert told[3]["message"] == "HEAD /books/7"


def test_text_lines_are_one_for_each_request_and_plain(lines_of):
    lines = lines_of("text", ("GET", FORGED, {}), ("GET", "/books", {}))
    assert len(lines) == 2
    assert all(re.match(r"\d\d:\d\d:\d\d INFO GET /books", line) for line in lines)
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert re.search(r" 404 [\d.]+ ", lines[0])


def record(message, error=None):
    told = (type(error), error, None) if error else None
    return logging.LogRecord("app", logging.ERROR, "path", 1, message, (), told)


def test_json_holds_lone_surrogates_and_errors_on_one_line():
    line = JsonFormatter().format(record("half \ud800\n", ValueError("two\nlines \udfff")))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "half \\ud800\n"
    assert "two\nlines" in told["exception"]


def test_text_writes_out_what_would_begin_a_line():
    line = TextFormatter().format(record("one\ntwo\r\u2028three"))
    assert line.endswith("one\\ntwo\\r\\u2028three")


class Written(io.StringIO):
    """A stream that remembers how often it was written to."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def write(self, text):
        self.times += 1
        return super().write(text)


def told(level, message):
    return logging.LogRecord("bookstall.request", level, "path", 1, message, (), None)


def test_lines_of_requests_are_written_together_and_in_order():
    handler = GatheringHandler(stream := Written())
    for number in range(100):
        handler.handle(told(logging.INFO, str(number)))
    handler.flush()
    assert stream.getvalue().split() == [str(number) for number in range(100)]
    assert stream.times <= 2


def test_a_warning_is_written_at_once_after_what_was_told_before():
    handler = GatheringHandler(stream := Written())
    handler.handle(told(logging.INFO, "before"))
    handler.handle(told(logging.WARNING, "now"))
    assert stream.getvalue().split() == ["before", "now"]


def test_lines_come_soon_by_themselves():
    handler = GatheringHandler(stream := Written())
    handler.handle(told(logging.INFO, "alone"))
    deadline = time.monotonic() + 10
    while not stream.getvalue():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert stream.getvalue() == "alone\n"


def test_what_waits_for_a_stream_is_bounded(monkeypatch):
    monkeypatch.setattr("app.logging.GATHERED_MOST", 10)
    monkeypatch.setattr("app.logging.GATHER_SECONDS", 60)
    handler = GatheringHandler(stream := Written())
    for number in range(11):
        handler.handle(told(logging.INFO, str(number)))
    assert len(stream.getvalue().split()) == 11


def test_a_record_that_cannot_be_written_does_not_end_the_log(capsys):
    handler = GatheringHandler(stream := Written())
    handler.handle(logging.LogRecord("app", logging.INFO, "path", 1, "%d", ("no number",), None))
    handler.handle(told(logging.INFO, "next"))
    handler.flush()
    assert stream.getvalue() == "next\n"
    assert "no number" in capsys.readouterr().err
