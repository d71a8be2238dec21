"""The bodies of bulk requests: 8 MiB under both workers, whatever MAX_BODY_BYTES is."""

import json
import socket

import pytest

from inventory.views import BULK_MAX_BYTES

OPERATIONS = json.dumps({"operations": [{"op": "adjust", "id": 1, "delta": 1}]}).encode()
HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"


@pytest.fixture(params=["wsgi", "asgi"])
def small(request, serve, serve_live, sqlite_database):
    """A service whose other bodies have at most 2,000 bytes."""
    start = serve if request.param == "wsgi" else serve_live
    return start(DATABASE_URL=sqlite_database, MAX_BODY_BYTES="2000")


def send(served, path, head, body):
    """Send a request, and return its status."""
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(HEAD % path + head + b"\r\n" + body)
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.parametrize(
    "path", [b"/products/bulk", b"/products/%62ulk", b"http://x/products/bulk"]
)
def test_a_bulk_request_may_have_8_mib_under_both_workers(small, path):
    body = OPERATIONS.ljust(BULK_MAX_BYTES)
    length = b"Content-Length: %d\r\n"
    assert send(small, path, length % len(body), body) == 200
    # The rest is not waited for.
    assert send(small, path, length % (len(body) + 1), b"") == 413
    assert send(small, b"/products", length % 2_001, b"") == 413


def test_a_chunked_bulk_request_may_have_8_mib_too(small):
    chunked, end = b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    body = OPERATIONS.ljust(BULK_MAX_BYTES)
    whole = b"%x\r\n%s\r\n" % (len(body), body)
    assert send(small, b"/products/bulk", chunked, whole + end) == 200
    assert send(small, b"/products/bulk", chunked, whole + b"1\r\n \r\n" + end) == 413
