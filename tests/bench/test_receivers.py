"""The receivers by which the delivery of webhooks is measured, and a delivery that is missing."""

from contextlib import closing

import pytest

from bench.fan_out import receive_all
from bench.receivers import HANGING, ReceiverProcess
from stress.http_client import HttpConnection, json_request

SENT = 7.5


def event(path, position):
    return json_request("POST", path, b'{"type": "stock.changed"}', webhook_id=f"log-{position}")


@pytest.fixture
def receivers():
    with ReceiverProcess(2) as process:
        yield process


@pytest.fixture
def send(receivers):
    """Send an event to the receiver with this path; return the status of its response."""
    with closing(HttpConnection(receivers.port, timeout=5)) as connection:
        yield lambda *arguments: connection.request(event(*arguments)).status


def test_each_receiver_counts_an_event_once(receivers, send):
    for path, position in (("/good/0", 1), ("/good/1", 1), ("/good/0", 2), ("/good/0", 1)):
        assert send(path, position) == 204
    assert send("/good/1", 2) == 204
    first, second = receive_all(receivers, {1: SENT, 2: SENT})
    assert first[0] <= first[1] <= second[0] <= second[1]


def test_the_benchmark_ends_if_a_delivery_is_missing(receivers, send):
    send("/good/0", 1)
    with pytest.raises(SystemExit, match=r"not delivered: \{1: 1\}"):
        receive_all(receivers, {1: SENT}, timeout=0.2)


def test_a_receiver_that_hangs_accepts_a_request_and_never_responds(receivers):
    with closing(HttpConnection(receivers.port, timeout=0.3)) as connection:
        connection.send(event(f"{HANGING}0", 1))
        with pytest.raises(TimeoutError):
            connection.receive()
    assert not receivers.report().times
