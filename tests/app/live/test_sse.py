"""graphql-sse on /graphql/stream, as a client sees it."""

import json
from urllib.parse import quote

import pytest

NAME = "{ __typename }"
ADD = """
mutation($book: ID!) { addReview(bookId: $book, rating: 5, reviewer: "Bea", text: "x") { id } }
"""
PROBLEM = "application/problem+json"


pytestmark = pytest.mark.usefixtures("no_error_in_the_log")


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


def test_the_headers_of_a_stream_arrive_before_any_event(live, stream, book):
    events = stream(live, book=book(live))
    assert events.status == 200
    assert next(events.lines()).startswith(":")


def test_a_stream_resumes_where_another_has_ended(live, stream, book, review):
    one = book(live)
    with stream(live, book=one, after=live.cursor()) as events:
        review(live, one, "first")
        cursor = events.event()["cursor"]
    review(live, one, "second")
    review(live, one, "third")
    assert stream(live, book=one, after=cursor).texts(2) == ["second", "third"]


def test_a_query_gets_one_event_and_the_end(live, stream):
    events = stream(live, NAME)
    assert events.next() == ("next", {"data": {"__typename": "Query"}})
    assert events.next() == ("complete", None)
    assert events.next() == ("end", None)


def test_a_mutation_by_post_is_executed(live, stream, book):
    events = stream(live, ADD, book=book(live))
    assert events.next()[1]["data"]["addReview"]["id"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "*/*"])
def test_a_mutation_by_get_is_rejected(live, stream, book, accept):
    one = book(live)
    response = stream(live, ADD, method="GET", headers={"Accept": accept}, book=one)
    assert "BAD_REQUEST" in response.response.read().decode()
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
def test_an_invalid_subscription_gets_an_event_with_errors_and_the_end(live, stream, query, code):
    events = stream(live, query)
    kind, result = events.next()
    assert (kind, result["errors"][0]["extensions"]["code"]) == ("next", code)
    assert events.next() == ("complete", None)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_subscription_that_accepts_only_json_is_rejected_with_a_code(live, stream, method):
    response = stream(live, method=method, headers={"Accept": "application/json"})
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_a_query_that_accepts_only_json_gets_json(live, stream):
    response = stream(live, NAME, headers={"Accept": "application/json"})
    assert response.json() == {"data": {"__typename": "Query"}}


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
def test_an_invalid_request_gets_a_problem_document(live, stream, body, accept):
    headers = {"Accept": accept, "Content-Type": "application/json"}
    response = stream(live, body=body, headers=headers)
    assert (response.status, response.header("Content-Type")) == (400, PROBLEM)
    problem = response.json()
    assert (problem["status"], problem["request_id"]) == (400, response.header("X-Request-ID"))


@pytest.mark.parametrize(
    "members", [{}, {"query": None}, {"query": NAME, "operationName": 5}], ids=json.dumps
)
def test_a_request_without_a_query_is_rejected_with_a_code(live, stream, members):
    response = stream(
        live, body=json.dumps(members).encode(), headers={"Content-Type": "application/json"}
    )
    assert response.next()[1]["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


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
def test_invalid_query_parameters_get_an_error(live, stream, query, accept):
    path = f"/graphql/stream{query or '?'}"
    response = stream(live, path=path, method="GET", headers={"Accept": accept})
    assert response.status in {200, 400, 406}
    assert "errors" in (text := response.response.read().decode()) or "request_id" in text


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_a_body_that_is_not_declared_as_json_is_rejected(live, stream, kind):
    response = stream(live, body=b'{"query": "{ __typename }"}', headers={"Content-Type": kind})
    assert response.status in {400, 415}
    assert response.header("Content-Type") == PROBLEM


def test_a_body_beyond_the_limit_is_a_413(live, stream):
    body = json.dumps({"query": NAME, "extensions": {"long": "x" * 1_100_000}}).encode()
    response = stream(live, body=body, headers={"Content-Type": "application/json"})
    assert (response.status, response.header("Content-Type")) == (413, PROBLEM)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "NONSENSE"])
def test_other_methods_get_a_405_with_the_allowed_methods(live, stream, method):
    response = stream(live, method=method, body=b"")
    assert (response.status, response.header("Allow")) == (405, "GET, POST")


def test_a_wrong_token_is_a_401(live, stream):
    response = stream(live, headers={"Authorization": "Bearer wrong"})
    assert response.status == 401
    assert response.header("WWW-Authenticate").startswith("Bearer")
    assert response.json()["request_id"] == response.header("X-Request-ID")


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_another_origin_is_a_403(live, stream, origin):
    response = stream(live, headers={"Origin": origin})
    assert (response.status, response.header("Content-Type")) == (403, PROBLEM)


def test_the_own_origin_is_accepted(live, stream):
    origin = f"http://127.0.0.1:{live.port}"
    assert stream(live, NAME, headers={"Origin": origin}).status == 200


def test_the_request_id_is_returned(live, stream):
    assert stream(live, headers={"X-Request-ID": "mine"}).header("X-Request-ID") == "mine"
    made = stream(live, headers={"X-Request-ID": "no good!"}).header("X-Request-ID")
    assert made
    assert made != "no good!"


def test_disconnected_clients_are_noticed(live, stream, book, review, until):
    def open_connections() -> float:
        metrics = live.request("GET", "/metrics")[2].decode()
        return sum(
            float(line.rpartition(" ")[2])
            for line in metrics.splitlines()
            if line.startswith('bookstall_live_connections{kind="stream"}')
        )

    one = book(live)
    until(lambda: open_connections() == 0)  # those of other tests
    events = [stream(live, book=one, after=live.cursor()) for _ in range(6)]
    assert open_connections() == 6
    for client in events:
        client.close()
    until(lambda: open_connections() == 0)
