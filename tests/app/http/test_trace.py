"""Trace context: what is valid of it, and where the trace of a request is passed on."""

import json

import pytest

from app.http.trace import TraceContext, stored_headers, trace_of
from tests.waiting import wait_until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{SPAN}-01"


def environ(traceparent, tracestate=None):
    sent = {"HTTP_TRACEPARENT": traceparent, "HTTP_TRACESTATE": tracestate}
    return {name: value for name, value in sent.items() if value is not None}


@pytest.mark.parametrize(
    "sent",
    [
        SENT,
        f" {SENT}\t",
        f"cc-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-what-a-later-version-adds",
    ],
)
def test_a_valid_trace_is_passed_on_in_the_version_that_we_know(sent):
    trace = trace_of(environ(sent))
    assert trace == TraceContext(TRACE, SPAN, 1)
    assert trace.headers == {"traceparent": SENT}


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"{SENT},{SENT}",  # two lines
        f"00-{TRACE}-{SPAN}-\u0661\u0661",
    ],
)
def test_whatever_is_not_valid_is_ignored(sent):
    assert trace_of(environ(sent)) is None


def test_flags_of_a_later_version_are_reset():
    assert trace_of(environ(f"00-{TRACE}-{SPAN}-ff")).headers == {
        "traceparent": f"00-{TRACE}-{SPAN}-03"
    }


@pytest.mark.parametrize(
    ("state", "passed_on"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", True),
        ("a=" + "b" * 510, True),
        ("a=" + "b" * 511, False),
        ("a=\u00e9", False),
        ("", False),
    ],
)
def test_the_state_is_passed_on_unless_it_is_too_long(state, passed_on):
    headers = trace_of(environ(SENT, state)).headers
    assert headers.get("tracestate") == (state if passed_on else None)


def test_a_context_of_an_event_without_a_trace_has_no_headers():
    assert stored_headers(b"{}") == {}
    assert stored_headers(json.dumps({"book_title": 'the "traceparent"'}).encode()) == {}


def records(server, request_id):
    found = [json.loads(line) for line in server.log_lines() if request_id in line]
    # Without slow queries: on a busy machine there may be some.
    found = [line for line in found if line["logger"] != "bookstall.queries"]
    return [line for line in found if line.get("request_id") == request_id]


@pytest.mark.parametrize(
    ("request_id", "headers", "logged"),
    [
        ("traced", {"traceparent": SENT}, (TRACE, SPAN)),
        ("traced-badly", {"traceparent": f"{SENT}-"}, (None, None)),
        ("not-traced", {}, (None, None)),
    ],
)
def test_the_log_has_the_trace_of_a_request_also_of_hits_in_memory(
    served, request_id, headers, logged
):
    for _ in range(3):  # under asgi the last is a hit in memory
        status, _, _ = served.request("GET", "/books", X_Request_ID=request_id, **headers)
        assert status == 200
    wait_until(lambda: len(records(served, request_id)) == 3)
    for record in records(served, request_id):
        assert (record.get("trace_id"), record.get("span_id")) == logged


def test_the_log_has_the_trace_of_an_event_stream(live_on_sqlite):
    path, request_id = "/graphql/stream?query={__typename}", "traced-stream"
    headers = {"traceparent": SENT, "Accept": "text/*"}
    live_on_sqlite.request("GET", path, X_Request_ID=request_id, **headers)
    wait_until(lambda: len(records(live_on_sqlite, request_id)) == 2)
    assert {line["trace_id"] for line in records(live_on_sqlite, request_id)} == {TRACE}
