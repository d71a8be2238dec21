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


def test_a_mutation_with_an_idempotency_key_is_rejected(live, stream, book):
    one = book(live)
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        response = stream(live, ADD, headers=headers, book=one)
        assert "BAD_REQUEST" in response.response.read().decode()
    assert json.loads(live.request("GET", f"/books/{one}")[2])["review_count"] == 0
    assert stream(live, NAME, headers=headers).next()[1] == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": ","}, 400),
        ({"If-Match": '"1"'}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-Unmodified-Since": "yesterday"}, 412),
    ],
)
def test_a_precondition_of_a_post_is_never_ignored(live, stream, book, headers, status):
    one = book(live)
    response = stream(live, ADD, headers=headers, book=one)
    assert (response.status, response.header("Content-Type")) == (status, PROBLEM)
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
        b"{}",
        b'{"query": null}',
        b'{"query": "{ __typename }", "operationName": 5}',
        b'{"query": "{ __typename }", "query": "{ __typename }"}',
        b'{"query": "{ __typename }", "variables": {"x": 1, "x": 2}}',
        b'{"query": "{ __typename }", "variables": {"x": NaN}}',
        b'{"query": "{ __typename }", "variables": {"x": -Infinity}}',
        b'{"query": "{ __typename }", "variables": {"x": 1e999}}',
        b'{"query": "{ __typename }", "variables": {"x": ' + b"9" * 5_000 + b"}}",
        b'\xef\xbb\xbf{"query": "{ __typename }"}',
        b'{"query": "\xed\xa0\x80"}',
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


@pytest.mark.parametrize("id_", ["\ud83d", "99999999999999999999"])
def test_an_id_that_no_book_can_have_is_an_error_of_its_operation(live, stream, id_):
    query = "query($x: ID!) { book(id: $x) { id } }"
    result = stream(live, query, x=id_).next()[1]
    assert result["data"] == {"book": None}
    assert result["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    result = stream(live, book=id_).next()[1]
    assert result["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert "data" not in result


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("query", ["{ nope }", "{", "\ud800", "subscription { nope }"])
def test_what_was_not_executed_has_no_data(live, stream, query, accept):
    response = stream(live, query, headers={"Accept": accept})
    result = response.json() if accept == "application/json" else response.next()[1]
    assert list(result) == ["errors"]


def test_what_was_executed_has_data_even_if_that_is_null(live, stream):
    query = 'mutation { addReview(bookId: 999999, rating: 1, reviewer: "x", text: "x") { id } }'
    result = stream(live, query).next()[1]
    assert result["data"] is None
    assert result["errors"][0]["path"] == ["addReview"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("TEXT/EVENT-STREAM", "text/event-stream"),
        ("text/*", "text/event-stream"),
        ("Text/Event-Stream;q=0.5, application/json;q=0.4", "text/event-stream"),
        ("text/event-stream;q=0.4, application/json", "application/json"),
        ("text/event-stream;q=0, */*", "application/json"),
        ("text/event-stream; charset=utf-8", "text/event-stream"),
        ("application/*", "application/json"),
        ("application/json;q=0, */*;q=0.1", "text/event-stream"),
        ("text/event-stream;q=0", None),
        ("*/*;q=0", None),
        ("text/event-streams", None),
        ("text/html", None),
    ],
)
def test_the_client_chooses_the_media_type(live, stream, accept, expected):
    response = stream(live, NAME, headers={"Accept": accept})
    kind = response.header("Content-Type").partition(";")[0]
    assert (response.status, kind) == ((200, expected) if expected else (406, PROBLEM))


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_a_415(live, stream, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    assert stream(live, body=b"{}", headers=headers).status == 415


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
        "?query={__typename}&query={__typename}",
        '?query={__typename}&variables={"a":1,"a":2}',
        '?query={__typename}&variables={"a":NaN}',
        '?query={__typename}&variables={"a":1e999}',
        "?query={__typename}&variables=%EF%BB%BF{}",
        f"?query={quote('{ a' + 'é}')}",
    ],
)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "text/html"])
def test_invalid_query_parameters_get_an_error(live, stream, query, accept):
    path = f"/graphql/stream{query or '?'}"
    response = stream(live, path=path, method="GET", headers={"Accept": accept})
    assert response.status in {200, 400, 406, 422}
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


def test_a_client_that_is_still_sending_receives_the_413(live, stream):
    body = b"x" * 3_000_000  # more than the buffers of the kernel hold
    for _ in range(20):
        response = stream(live, body=body, headers={"Content-Type": "application/json"})
        assert response.status == 413


def test_variables_that_are_no_json_are_a_400(live, stream):
    for variables in ("nonsense", '{"a":1,"a":2}', "NaN", "[1]", '{"a":1e999}'):
        path = f"/graphql/stream?query={quote(NAME)}&variables={quote(variables)}"
        response = stream(live, path=path, method="GET")
        assert (response.status, response.header("Content-Type")) == (400, PROBLEM)


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
