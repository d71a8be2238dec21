"""What every response has: nosniff, and a status line with the standard reason."""

import json
import re
import socket
from http import HTTPStatus

import pytest

from tests.waiting import PATIENCE

REQUESTS = [
    ("GET", "/books", {}, 200),
    ("HEAD", "/books", {}, 200),
    ("POST", "/books", {}, 415),
    ("GET", "/docs/swagger-ui.css", {"Range": "bytes=0-1"}, 206),
    ("GET", "/docs/swagger-ui.css", {"Range": "bytes=99999999-"}, 416),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/graphql", {"Accept": "text/html"}, 200),
    ("GET", "/graphql", {"Accept": "text/plain"}, 406),
    ("GET", "/docs", {}, 200),
    ("GET", "/healthz", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/books?limit=0", {}, 422),
    ("GET", "/books?cursor=x", {}, 400),
    ("GET", "/books", {"Authorization": "Bearer wrong"}, 401),
    ("GET", "/books/999999", {}, 404),
    ("GET", "/nonsense", {}, 404),
    ("DELETE", "/books", {}, 405),
    ("GET", "/books", {"Accept": "text/html"}, 406),
    ("POST", "/books", {"Content-Length": "99999999", "Content-Type": "application/json"}, 413),
]


def exchange(server, method, path, headers, body=b""):
    """Return the status line and the headers as they were sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += (chunk := connection.recv(65_536))
            assert chunk, received
    first, *others = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return first, [line.partition(": ")[::2] for line in others]


@pytest.mark.parametrize(("method", "path", "sent", "status"), REQUESTS)
def test_a_response_has_nosniff_once_and_the_standard_reason(served, method, path, sent, status):
    first, headers = exchange(served, method, path, sent)
    version, code, reason = first.split(" ", 2)
    assert (version, int(code)) == ("HTTP/1.1", status)
    # Some names have changed: 413 was "Request Entity Too Large".
    known = {HTTPStatus(status).phrase, "Content Too Large", "Payload Too Large"}
    assert reason.title() in {name.title() for name in known}
    values = [value for name, value in headers if name.lower() == "x-content-type-options"]
    assert values == ["nosniff"]


def test_a_304_and_a_412_have_both_too(served):
    _, headers, _ = served.request("GET", "/books")
    first, named = exchange(served, "GET", "/books", {"If-None-Match": headers["ETag"]})
    assert re.fullmatch("HTTP/1.1 304 Not Modified", first, re.IGNORECASE)
    assert ("x-content-type-options", "nosniff") in [(n.lower(), v) for n, v in named]
    product = b'{"sku": "REASON-1", "name": "Lamp", "price": "1.00"}'
    path = f"/products/{json.loads(served.request('POST', '/products', product)[2])['id']}"
    body = b'{"price": "2.00"}'
    sent = {"If-Match": '"99"', "Content-Type": "application/json", "Content-Length": len(body)}
    first, named = exchange(served, "PATCH", path, sent, body)
    assert re.fullmatch("HTTP/1.1 412 Precondition Failed", first, re.IGNORECASE)
    assert ("x-content-type-options", "nosniff") in [(n.lower(), v) for n, v in named]


def test_a_stream_has_nosniff(live_on_sqlite):
    for path in ("/graphql/stream?query={__typename}", "/graphql/stream"):
        _, headers, _ = live_on_sqlite.request("GET", path)
        assert headers.get_all("X-Content-Type-Options") == ["nosniff"]


def test_a_cache_hit_has_nosniff(make_app, sqlite_database, fresh_redis):
    client = make_app(sqlite_database, redis_url=fresh_redis).test_client()
    for _ in range(2):
        last = client.get("/books?limit=11")
    assert last.headers["Cache-Status"] == "bookstall; hit"
    assert last.headers.getlist("X-Content-Type-Options") == ["nosniff"]


@pytest.mark.parametrize("path", ["/docs", "/live", "/graphql"])
def test_no_other_site_can_frame_a_page_or_redirect_its_forms(shared_client, path):
    with shared_client.get(path, headers={"Accept": "text/html"}) as page:
        directives = page.headers["Content-Security-Policy"].split("; ")
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert f"{name} 'none'" in directives
    assert {"default-src 'none'", "object-src 'none'"} & set(directives)
