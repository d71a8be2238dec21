"""Bodies that are made while they are sent, under asgi."""

import asyncio

import pytest

from app.http.response import BodyStream
from app.live.response_streams import ResponseStreams


class Endless(BodyStream):
    closed = False

    def __next__(self):
        return b"a"

    def close(self):
        self.closed = True


def test_a_stream_whose_response_cannot_begin_is_closed():
    stream = Endless()

    async def send(_):
        raise ConnectionError

    async def receive():
        await asyncio.Event().wait()

    with pytest.raises(ConnectionError):
        asyncio.run(ResponseStreams().send({"type": "http.response.start"}, stream, receive, send))
    assert stream.closed
