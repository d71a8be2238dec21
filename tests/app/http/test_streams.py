"""Bodies that are made while they are sent: an early end is recorded, and closes the body."""

import pytest

from app.http.response import BodyStream
from app.http.streams import RecordedStream, StreamBroken


class FailingBody(BodyStream):
    def __init__(self):
        self.closed = False

    def __next__(self):
        raise MemoryError  # without a message

    def close(self):
        self.closed = True


def test_an_error_without_a_message_ends_the_stream_too():
    body, recorded = FailingBody(), []
    stream = RecordedStream(body, "/books/export", "an id", recorded.append)
    with pytest.raises(StreamBroken):
        next(stream)
    assert (body.closed, recorded) == (True, [0])
