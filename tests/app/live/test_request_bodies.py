"""Request bodies are read by the event loop, within limits of size, memory and time."""

import asyncio

import pytest

from app.errors import BadRequest, ContentTooLarge, RequestTimeout, Unavailable
from app.live.request_bodies import FailedBody, RequestBodies

LIMITS = "app.live.request_bodies"


class Sender:
    """Sends the chunks of a body, then its end, a disconnect, or nothing."""

    def __init__(self, *chunks, end="end"):
        self.left = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
        self.end = end

    async def __call__(self):
        if self.left:
            return self.left.pop(0)
        if self.end == "disconnect":
            return {"type": "http.disconnect"}
        if self.end == "nothing":
            await asyncio.Event().wait()
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
    bodies = RequestBodies(100)
    assert read(bodies, Sender(b"ab", b"c"), content_length="3") == b"abc"
    assert read(bodies, Sender(b"ab", b"c"), transfer_encoding="chunked") == b"abc"
    assert read(bodies, Sender()) == b""
    broken = read(bodies, Sender(b"ab", end="disconnect"), transfer_encoding="chunked")
    with pytest.raises(BadRequest, match="incomplete"):
        broken.read()


def test_a_body_that_is_too_long_is_read_only_beyond_the_limit():
    sender = Sender(*[b"x" * 60] * 10)
    with pytest.raises(ContentTooLarge):
        read(RequestBodies(100), sender, transfer_encoding="chunked").read()
    assert len(sender.left) == 8
    assert read(RequestBodies(100), sender, content_length="600") == b""


def test_bodies_beyond_the_memory_limit_are_rejected_and_released(monkeypatch):
    bodies = RequestBodies(1_000)
    monkeypatch.setattr(f"{LIMITS}.MAX_BODIES_BYTES", 100)
    with pytest.raises(Unavailable):
        read(bodies, Sender(b"x" * 60, b"x" * 60), content_length="120").read()
    assert read(bodies, Sender(b"x" * 99), content_length="99") == b"x" * 99
    assert bodies.buffered == 0


@pytest.mark.parametrize("chunks", [[], [b"ab"]])
def test_a_body_that_takes_too_long_is_given_up_and_released(monkeypatch, chunks):
    bodies = RequestBodies(100)
    monkeypatch.setattr(f"{LIMITS}.BODY_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(RequestTimeout):
        read(bodies, Sender(*chunks, end="nothing"), content_length="3").read()
    assert bodies.buffered == 0


def test_the_bytes_of_a_stream_count_until_its_body_is_handled():
    async def scenario():
        bodies, sender = RequestBodies(100), Sender(b"abc", end="disconnect")
        sender.left.append({"type": "http.request", "body": b"", "more_body": False})
        async with bodies.replay(scope(content_length="3"), sender) as receive:
            assert (await receive())["body"] == b"abc"
            assert bodies.buffered == 3
            assert (await receive())["type"] == "http.disconnect"
            assert bodies.buffered == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sender", "headers", "error"),
    [
        (Sender(b"x" * 200), {"content_length": "200"}, ContentTooLarge),
        (Sender(b"x" * 200), {"transfer_encoding": "chunked"}, ContentTooLarge),
        (Sender(b"x", end="disconnect"), {"content_length": "2"}, BadRequest),
    ],
)
def test_a_stream_whose_body_cannot_be_read_is_rejected(sender, headers, error):
    async def scenario():
        bodies = RequestBodies(100)
        with pytest.raises(error):
            async with bodies.replay(scope(**headers), sender):
                pass
        assert bodies.buffered == 0

    asyncio.run(scenario())
