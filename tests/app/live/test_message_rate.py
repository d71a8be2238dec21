"""One client that repeats messages leaves the event loop to others."""

import json
import socket
import time

import psutil
import pytest

from tests.app.server.attackers import cuts
from tests.waiting import PATIENCE

LARGE = json.dumps({"type": "pong", "payload": {"text": "x" * 130_000}})
SUBSCRIBE = {
    "id": "1",
    "type": "subscribe",
    "payload": {"query": "subscription { reviewAdded { cursor } }"},
}
REPEATED = {
    "large pongs": [LARGE],
    "small pongs": ['{"type":"pong"}'],
    "small pings": ['{"type":"ping"}'],
    "operations": [json.dumps(SUBSCRIBE), '{"id":"1","type":"complete"}'],
    "WebSocket pings": [None],
}
ATTACK_SECONDS = 2.5
TEXT, PING = 0x81, 0x89


def frame(text):
    """Write a message as a frame, masked with zeros; None as a ping of the protocol below."""
    payload = b"x" * 125 if text is None else text.encode()
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = bytes([0x80 | 126]) + size.to_bytes(2)
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8)
    return bytes([PING if text is None else TEXT]) + length + bytes(4) + payload


def processor_seconds(process):
    times = process.cpu_times()
    return times.user + times.system


@pytest.mark.parametrize("what", list(REPEATED))
def test_one_client_that_repeats_messages_takes_little_of_the_processor(
    live_on_sqlite, websocket, what
):
    """Others wait for the event loop as long as it is busy with this client."""
    live = live_on_sqlite
    client = websocket(live).init()
    process, connection = psutil.Process(client.worker), client.connection.socket
    repeated = b"".join(map(frame, REPEATED[what])) * 20
    counted, used = cuts(live)["websocket", "rate"], processor_seconds(process)
    began, waiting = time.monotonic(), repeated
    # On a busy machine it takes longer to exceed the rate.
    while (seconds := time.monotonic() - began) < ATTACK_SECONDS or (
        cuts(live)["websocket", "rate"] == counted and seconds < PATIENCE
    ):
        try:
            waiting = waiting[connection.send(waiting, socket.MSG_DONTWAIT) :] or repeated
        except BlockingIOError:  # the server does not read
            time.sleep(0.01)
        assert live.request("GET", "/healthz")[0] == 200
    assert processor_seconds(process) - used < seconds / 2
    assert cuts(live)["websocket", "rate"] > counted
    client.reset()
