"""Header lines that come twice, over real connections: WSGI joins them with a comma."""

import http.client
import json

import pytest

from tests.waiting import PATIENCE

BOOK = {"title": "Emma", "author": "Jane Austen"}
LAMP = {"sku": "L-1", "name": "Lamp", "price": "19.99"}


def send(server, method, path, body, *lines):
    """Send a request with these header lines, each as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    content = b"" if body is None else json.dumps(body).encode()
    try:
        connection.putrequest(method, path)
        for name, value in [*lines, ("Content-Length", str(len(content)))]:
            connection.putheader(name, value)
        connection.endheaders(content)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def lamp(served):
    """A product, and its ETag."""
    _, headers, body = send(served, "POST", "/products", LAMP, JSON)
    return f"/products/{json.loads(body)['id']}", headers["ETag"]


def count_books(server):
    _, _, body = send(server, "GET", "/books?include_total=true", None)
    return json.loads(body)["total"]


@pytest.mark.parametrize("values", [("a", "b"), ("a", "a"), ("a", ""), ("a,b",), ('"a","b"',)])
def test_two_idempotency_keys_are_a_400(served, values):
    before = count_books(served)
    lines = [("Idempotency-Key", value) for value in values]
    status, _, body = send(served, "POST", "/books", BOOK, JSON, *lines)
    assert status == 400, body
    assert count_books(served) == before


def test_several_lines_of_if_match_are_one_list(served, lamp):
    path, etag = lamp
    other = ("If-Match", '"99"')
    for lines in ([other, ("If-Match", etag)], [("If-Match", etag), other]):
        status, _, body = send(served, "PATCH", path, {"price": "19.99"}, JSON, *lines)
        assert status == 200, body
    status, _, _ = send(served, "PATCH", path, {"price": "1"}, JSON, other, ("If-Match", 'W/"1"'))
    assert status == 412
    status, _, _ = send(served, "PATCH", path, {"price": "1"}, JSON, ("If-Match", "*"), other)
    assert status == 400
    status, _, _ = send(served, "PATCH", path, {"price": "1"}, JSON, ("If-Match", ""))
    assert status == 400


def test_two_authorizations_are_a_401(served):
    lines = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    status, headers, _ = send(served, "POST", "/books", BOOK, JSON, *lines)
    assert status == 401
    assert "WWW-Authenticate" in headers


def test_several_lines_of_accept_are_one_list(served):
    accepts = ("Accept", "text/html"), ("Accept", "application/json")
    for lines in (accepts, accepts[::-1]):
        assert send(served, "GET", "/books", None, *lines)[0] == 200
    status, _, _ = send(served, "GET", "/books", None, accepts[0], ("Accept", "text/plain"))
    assert status == 406


def test_two_request_ids_are_replaced_by_a_new_one(served):
    lines = [("X-Request-ID", "a"), ("X-Request-ID", "b")]
    _, headers, _ = send(served, "GET", "/books", None, *lines)
    assert len(headers.get_all("X-Request-ID")) == 1
    assert headers["X-Request-ID"] not in {"a", "b", "a,b", "a, b"}


@pytest.mark.parametrize("other", ["text/plain", "application/json", ""])
def test_two_content_types_are_rejected(served, other):
    before = count_books(served)
    for lines in ([JSON, ("Content-Type", other)], [("Content-Type", other), JSON]):
        status, _, body = send(served, "POST", "/books", BOOK, *lines)
        assert status in {400, 415}, body
    assert count_books(served) == before
