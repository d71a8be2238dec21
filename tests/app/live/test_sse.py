"""graphql-sse on /graphql/stream, as a client sees it."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

NAME = "{ __typename }"
ADD = """
mutation($book: ID!) { addReview(bookId: $book, rating: 5, reviewer: "Bea", text: "x") { id } }
"""
PROBLEM = "application/problem+json"


@pytest.fixture(autouse=True)
def no_fault_of_ours(live) -> Iterator[None]:
    """Whatever clients do, nothing of it is an error in the log."""
    before = len(live.log.read_text())
    yield
    said = live.log.read_text()[before:]
    assert "Traceback" not in said, said


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_reviews_are_streamed(live, stream, book, review, method):
    one = book(live)
    events = stream(live, method=method, book=one, after=live.cursor())
    assert events.status == 200
    assert events.header("Content-Type").startswith("text/event-stream")
    assert "no-cache" in events.header("Cache-Control")
    identity = review(live, one, "first")
    review(live, book(live), "of another book")
    review(live, one, "second")
    event = events.event()
    assert event["review"]["id"] == str(identity)
    assert (event["review"]["bookId"], event["review"]["text"]) == (one, "first")
    assert events.texts(1) == ["second"]


def test_the_head_of_a_stream_comes_before_any_event(live, stream, book):
    events = stream(live, book=book(live))
    assert events.status == 200
    assert next(events.lines()).startswith(":")


def test_a_stream_goes_on_where_another_has_ended(live, stream, book, review):
    one = book(live)
    with stream(live, book=one, after=live.cursor()) as events:
        review(live, one, "first")
        cursor = events.event()["cursor"]
    review(live, one, "second")
    review(live, one, "third")
    assert stream(live, book=one, after=cursor).texts(2) == ["second", "third"]


def test_a_query_has_one_event_and_an_end(live, stream):
    events = stream(live, NAME)
    assert events.next() == ("next", {"data": {"__typename": "Query"}})
    assert events.next() == ("complete", None)
    assert events.next() == ("the end", None)


def test_a_mutation_by_post_is_executed(live, stream, book):
    events = stream(live, ADD, book=book(live))
    assert events.next()[1]["data"]["addReview"]["id"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "*/*"])
def test_a_mutation_by_get_is_refused(live, stream, book, accept):
    one = book(live)
    answer = stream(live, ADD, method="GET", headers={"Accept": accept}, book=one)
    assert "BAD_REQUEST" in answer.answer.read().decode()
    assert json.loads(live.request("GET", f"/books/{one}")[2])["review_count"] == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { reviewAdded { nonsense } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ('subscription { reviewAdded(bookId: "999999") { cursor } }', "NOT_FOUND"),
        ('subscription { reviewAdded(after: "nonsense") { cursor } }', "BAD_REQUEST"),
        ('subscription { reviewAdded(after: "0123456789abcdef-1") { cursor } }', "WINDOW_PASSED"),
    ],
)
def test_what_cannot_be_followed_is_an_event_with_errors_and_an_end(live, stream, query, code):
    events = stream(live, query)
    kind, told = events.next()
    assert (kind, told["errors"][0]["extensions"]["code"]) == ("next", code)
    assert events.next() == ("complete", None)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_subscription_by_who_takes_no_stream_is_refused_with_a_code(live, stream, method):
    answer = stream(live, method=method, headers={"Accept": "application/json"})
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_a_query_by_who_takes_no_stream_is_answered(live, stream):
    answer = stream(live, NAME, headers={"Accept": "application/json"})
    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"{",
        b"5",
        b"null",
        b'"text"',
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b'{"query": 5}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "x"}',
        b'{"query": "{ __typename }", "extensions": []}',
        b'{"query": "\\ud800"}',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda body: ascii(body)[:50],
)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_what_is_no_request_is_a_problem(live, stream, body, accept):
    headers = {"Accept": accept, "Content-Type": "application/json"}
    answer = stream(live, body=body, headers=headers)
    assert (answer.status, answer.header("Content-Type")) == (400, PROBLEM)
    told = answer.json()
    assert (told["status"], told["request_id"]) == (400, answer.header("X-Request-ID"))


@pytest.mark.parametrize(
    "members", [{}, {"query": None}, {"query": NAME, "operationName": 5}], ids=json.dumps
)
def test_a_request_without_a_query_is_refused_with_a_code(live, stream, members):
    answer = stream(
        live, body=json.dumps(members).encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.next()[1]["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?query=",
        "?query={__typename}&variables=nonsense",
        "?query={__typename}&variables=5",
        "?query={__typename}&variables=[1]",
        "?query={__typename}&extensions=nonsense",
        "?query=%ED%A0%80",
        "?query=%00",
        f"?query={quote('{ a' + 'é}')}",
    ],
)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "text/html"])
def test_nonsense_in_an_address_is_told(live, stream, query, accept):
    path = f"/graphql/stream{query or '?'}"
    answer = stream(live, path=path, method="GET", headers={"Accept": accept})
    assert answer.status in {200, 400, 406}
    assert "errors" in (told := answer.answer.read().decode()) or "request_id" in told


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_a_body_that_is_not_declared_to_be_json_is_refused(live, stream, kind):
    answer = stream(live, body=b'{"query": "{ __typename }"}', headers={"Content-Type": kind})
    assert answer.status in {400, 415}
    assert answer.header("Content-Type") == PROBLEM


def test_a_body_beyond_the_limit_is_a_413(live, stream):
    body = json.dumps({"query": NAME, "extensions": {"long": "x" * 1_100_000}}).encode()
    answer = stream(live, body=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.header("Content-Type")) == (413, PROBLEM)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "NONSENSE"])
def test_other_methods_are_a_405_that_names_ours(live, stream, method):
    answer = stream(live, method=method, body=b"")
    assert (answer.status, answer.header("Allow")) == (405, "GET, POST")


def test_a_wrong_token_is_a_401(live, stream):
    answer = stream(live, headers={"Authorization": "Bearer wrong"})
    assert answer.status == 401
    assert answer.header("WWW-Authenticate").startswith("Bearer")
    assert answer.json()["request_id"] == answer.header("X-Request-ID")


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_page_of_another_site_is_a_403(live, stream, origin):
    answer = stream(live, headers={"Origin": origin})
    assert (answer.status, answer.header("Content-Type")) == (403, PROBLEM)


def test_a_page_of_our_own_site_is_served(live, stream):
    origin = f"http://127.0.0.1:{live.port}"
    assert stream(live, NAME, headers={"Origin": origin}).status == 200


def test_the_id_of_a_request_comes_back(live, stream):
    assert stream(live, headers={"X-Request-ID": "mine"}).header("X-Request-ID") == "mine"
    made = stream(live, headers={"X-Request-ID": "no good!"}).header("X-Request-ID")
    assert made
    assert made != "no good!"


def test_clients_that_have_gone_are_noticed(live, stream, book, review, until):
    def open_lines() -> float:
        told = live.request("GET", "/metrics")[2].decode()
        return sum(
            float(line.rpartition(" ")[2])
            for line in told.splitlines()
            if line.startswith('bookstall_live_connections{kind="stream"}')
        )

    one = book(live)
    until(lambda: open_lines() == 0)  # those of other tests
    events = [stream(live, book=one, after=live.cursor()) for _ in range(6)]
    assert open_lines() == 6
    for line in events:
        line.close()
    until(lambda: open_lines() == 0)
