"""The shutdown of asgi workers: no request is lost, idle connections do not delay it."""

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


def terminate(service):
    """Send SIGTERM to the master, and wait until its workers have received it."""
    service.terminate()
    time.sleep(0.3)


def test_a_shutdown_closes_subscriptions_and_loses_no_request(sqlite_database):
    loss = measure_shutdown("TERM", seed=1, database=sqlite_database)
    assert loss.lost == 0, str(loss)
    assert loss.sent > 50
    assert loss.exit_code == 0
    assert loss.closed == {"ws close 1012": 10, "sse end": 10}
    assert loss.notified_within < 5
    assert loss.seconds < GRACEFUL / 2, "idle keep-alive connections must not delay the shutdown"


def test_a_reload_closes_subscriptions_and_loses_no_request(sqlite_database):
    loss = measure_shutdown("HUP", seed=2, database=sqlite_database)
    assert loss.lost == 0, str(loss)
    assert loss.closed == {"ws close 1012": 10, "sse end": 10}


def test_the_last_responses_carry_connection_close(service):
    connection = HttpConnection(service.port)
    connection.request(get("/healthz"))
    assert not connection.header("Connection")
    terminate(service)
    assert connection.request(get("/healthz")).status == 200
    assert connection.header("Connection") == "close"
    connection.close()
    assert service.wait() == 0


def test_a_partly_received_request_is_completed(service):
    reused, new = HttpConnection(service.port), HttpConnection(service.port)
    reused.request(get("/healthz"))
    request = get("/healthz")
    for connection in (reused, new):
        connection.send(request[:30])
    terminate(service)
    time.sleep(2.5)  # longer than the notice and the closing of idle connections
    for connection in (reused, new):
        connection.socket.sendall(request[30:])
        while not connection.receive():
            pass
        assert connection.status == 200
        connection.close()
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
    document = {"query": "subscription { reviewAdded { cursor } }"}
    request = json_request(
        "POST", "/graphql/stream", orjson.dumps(document), Accept="text/event-stream"
    )
    stream.socket.sendall(request)
    received = stream.socket.recv(65_536)
    assert b" 200 " in received
    service.terminate()
    while piece := stream.socket.recv(65_536):
        received += piece
    stream.close()
    assert received.endswith(b"\r\n0\r\n\r\n")
    assert service.wait() == 0
    assert "ERROR" not in service.log.read_text()


def test_repeated_signals_change_nothing(service):
    for worker in service.workers() * 3:
        os.kill(worker, signal.SIGTERM)
    terminate(service)
    assert service.wait() == 0
