"""How workers of subscribers end: nothing is lost, and nobody is waited for who asks nothing."""

import os
import signal
import socket
import time

import orjson
import pytest

from stress.http_client import HttpConnection, get, json_request
from stress.service import LiveService
from stress.subscriptions.shutdown import measure_shutdown

GRACEFUL = 30


@pytest.fixture
def service(sqlite_database):
    with LiveService("asgi:app", 2, DATABASE_URL=sqlite_database) as service:
        yield service


def told_to_end(service):
    """Tell the master, and return when its workers have heard it."""
    service.terminate()
    time.sleep(0.3)


def test_a_shutdown_closes_subscriptions_and_loses_no_request(sqlite_database):
    loss = measure_shutdown("TERM", seed=1, database=sqlite_database)
    assert loss.lost == 0, str(loss)
    assert loss.sent > 50
    assert loss.exit_code == 0
    assert loss.closed == {"ws close 1012": 10, "sse end": 10}
    assert loss.notified_within < 5
    assert loss.seconds < GRACEFUL / 2, "asleep on kept connections is not at work"


def test_a_reload_closes_subscriptions_and_loses_no_request(sqlite_database):
    loss = measure_shutdown("HUP", seed=2, database=sqlite_database)
    assert loss.lost == 0, str(loss)
    assert loss.closed == {"ws close 1012": 10, "sse end": 10}


def test_the_last_responses_carry_connection_close(service):
    wire = HttpConnection(service.port)
    wire.request(get("/healthz"))
    assert not wire.header("Connection")
    told_to_end(service)
    assert wire.request(get("/healthz")).status == 200
    assert wire.header("Connection") == "close"
    wire.close()
    assert service.wait() == 0


def test_a_partly_received_request_is_completed(service):
    kept, new = HttpConnection(service.port), HttpConnection(service.port)
    kept.request(get("/healthz"))
    words = get("/healthz")
    for wire in (kept, new):
        wire.send(words[:30])
    told_to_end(service)
    time.sleep(2.5)  # longer than answers are the last, and idle connections closed
    for wire in (kept, new):
        wire.socket.sendall(words[30:])
        while not wire.receive():
            pass
        assert wire.status == 200
        wire.close()
    assert service.wait() == 0


def test_connections_without_a_request_do_not_delay_the_shutdown(service):
    silent = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(4)]
    began = time.monotonic()
    service.terminate()
    assert service.wait() == 0
    assert time.monotonic() - began < GRACEFUL / 2
    for connection in silent:
        assert connection.recv(1) == b""
        connection.close()


def test_a_closed_stream_has_a_complete_body_and_logs_no_error(service):
    stream = HttpConnection(service.port)
    words = {"query": "subscription { reviewAdded { cursor } }"}
    request = json_request(
        "POST", "/graphql/stream", orjson.dumps(words), Accept="text/event-stream"
    )
    stream.socket.sendall(request)
    heard = stream.socket.recv(65_536)
    assert b" 200 " in heard
    service.terminate()
    while piece := stream.socket.recv(65_536):
        heard += piece
    stream.close()
    assert heard.endswith(b"\r\n0\r\n\r\n")
    assert service.wait() == 0
    assert "ERROR" not in service.log.read_text()


def test_repeated_signals_change_nothing(service):
    for worker in service.workers() * 3:
        os.kill(worker, signal.SIGTERM)
    told_to_end(service)
    assert service.wait() == 0
