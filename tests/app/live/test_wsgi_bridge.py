"""Request bodies are read by the event loop, within limits."""

import asyncio

import pytest

from app.live import wsgi_bridge
from app.live.wsgi_bridge import MAX_BUFFERED_BYTES, BodyBuffer, FailedBody
from tests.app.private_names import check


@pytest.mark.parametrize("name", wsgi_bridge.PRIVATE_NAMES)
def test_a2wsgi_has_the_private_name(name):
    check(name, wsgi_bridge, "a2wsgi")


class Sender:
    """Sends the chunks of a body, then its end, or a disconnect."""

    def __init__(self, *chunks, disconnects=False):
        self.left = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
        self.disconnects = disconnects

    async def __call__(self):
        if self.left:
            return self.left.pop(0)
        if self.disconnects:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


def scope(**headers):
    named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return {"type": "http", "headers": named}


def read(bodies, sender, **headers):
    async def run_once():
        async with bodies.read(scope(**headers), sender) as body:
            return body if isinstance(body, FailedBody) else body.read()

    return asyncio.run(run_once())


def test_a_complete_body_is_read_and_an_incomplete_one_fails_when_it_is_read():
    bodies = BodyBuffer(100)
    assert read(bodies, Sender(b"ab", b"c"), content_length="3") == b"abc"
    assert read(bodies, Sender(b"ab", b"c"), transfer_encoding="chunked") == b"abc"
    assert read(bodies, Sender()) == b""
    broken = read(bodies, Sender(b"ab", disconnects=True), transfer_encoding="chunked")
    with pytest.raises(OSError, match="disconnected"):
        broken.read()


def test_a_body_that_is_too_long_is_read_only_beyond_the_limit():
    sender = Sender(*[b"x" * 60] * 10)
    assert read(BodyBuffer(100), sender, transfer_encoding="chunked") == b"x" * 120
    assert read(BodyBuffer(100), sender, content_length="600") == b""


def test_bodies_beyond_the_memory_limit_are_rejected_and_released(monkeypatch):
    bodies = BodyBuffer(MAX_BUFFERED_BYTES)
    monkeypatch.setattr("app.live.wsgi_bridge.MAX_BUFFERED_BYTES", 100)
    refused = read(bodies, Sender(b"x" * 60, b"x" * 60), content_length="120")
    assert isinstance(refused, FailedBody)
    assert read(bodies, Sender(b"x" * 99), content_length="99") == b"x" * 99
    assert bodies.buffered == 0
