"""The shutdown of asgi workers: no request is lost, idle connections do not delay it."""

import math
import os
import shutil
import signal
import socket
import time
from contextlib import closing, suppress
from itertools import count

import orjson
import pytest

from stress.http_client import HttpConnection, get, json_request
from stress.service import LiveService, Service
from stress.subscriptions.shutdown import measure_shutdown
from tests.waiting import shortest

GRACEFUL = 30
CLOSED = {"WebSocket close 1012": 7, "GraphQL stream end": 7, "event stream end": 6}
"""How the 20 followers lose their connections."""


@pytest.fixture
def new_database(migrated_sqlite, tmp_path):
    """A factory of migrated databases: each measurement fills one."""
    numbers = count()
    return lambda: f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / f'{next(numbers)}.db')}"


@pytest.fixture
def new_service(sqlite_database):
    """A factory of services."""
    return lambda: LiveService("asgi:app", 2, DATABASE_URL=sqlite_database)


@pytest.fixture
def service(new_service):
    with new_service() as service:
        yield service


def loses_nothing(loss):
    """Only a connection that a busy worker has no time to accept before it ends may be lost."""
    assert loss.lost == loss.outcomes["lost on a new connection"], str(loss)
    return not loss.lost


def test_a_shutdown_closes_subscriptions_and_loses_no_request(new_database):
    def seconds_to_stop():
        loss = measure_shutdown("TERM", seed=1, database=new_database())
        assert loss.exit_code == 0
        assert loss.closed == CLOSED
        # On a busy machine clients may send few requests, and notice late that they are closed.
        is_measured = loss.sent > 50 and loss.notified_within < 5
        return loss.seconds if loses_nothing(loss) and is_measured else math.inf

    # Idle keep-alive connections must not delay the shutdown.
    assert shortest(seconds_to_stop, GRACEFUL / 2) < GRACEFUL / 2


def test_a_reload_closes_subscriptions_and_loses_no_request(new_database):
    def is_lossless():
        loss = measure_shutdown("HUP", seed=2, database=new_database())
        assert loss.closed == CLOSED
        return loses_nothing(loss)

    assert any(is_lossless() for _ in range(5))


def test_the_last_responses_carry_connection_close(new_service):
    # The connection is closed after a second: a busy machine may be too late for a last request.
    assert any(last_response_carries_close(new_service) for _ in range(5))


def last_response_carries_close(new_service):
    with new_service() as service, closing(HttpConnection(service.port)) as connection:
        connection.request(get("/healthz"))
        assert not connection.header("Connection")
        service.terminate()
        try:
            while connection.header("Connection") != "close":
                assert connection.request(get("/healthz")).status == 200
        except OSError:
            return False
        assert service.wait() == 0
        return True


def test_a_partly_received_request_is_completed(new_service):
    # On a busy machine the service may have received nothing when the shutdown begins.
    assert any(partly_received_request_is_completed(new_service) for _ in range(5))


def partly_received_request_is_completed(new_service):
    with new_service() as service:
        reused, new = HttpConnection(service.port), HttpConnection(service.port)
        reused.request(get("/healthz"))
        request = get("/healthz")
        for connection in (reused, new):
            connection.send(request[:30])
        time.sleep(0.1)  # the service receives it
        service.terminate()
        time.sleep(2.5)  # longer than the notice and the closing of idle connections
        with closing(reused), closing(new):
            for connection in (reused, new):
                try:
                    connection.socket.sendall(request[30:])
                    while not connection.receive():
                        pass
                except OSError:
                    return False
                assert connection.status == 200
        assert service.wait() == 0
        return True


def test_connections_without_a_request_do_not_delay_the_shutdown(new_service):
    def seconds_to_stop():
        with new_service() as service:
            silent = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(4)]
            began = time.monotonic()
            service.terminate()
            assert service.wait() == 0
            seconds = time.monotonic() - began
            for connection in silent:
                with suppress(ConnectionResetError):  # no worker had accepted it yet
                    assert connection.recv(1) == b""
                connection.close()
        return seconds

    assert shortest(seconds_to_stop, GRACEFUL / 2) < GRACEFUL / 2


@pytest.mark.parametrize("application", ["asgi:app", "wsgi:app"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_still_starts_stops_too(sqlite_database, application, number):
    service_type = LiveService if application == "asgi:app" else Service
    for _ in range(2):
        with service_type(application, 2, DATABASE_URL=sqlite_database) as service:
            began = time.monotonic()  # one worker serves, the other one may still load its modules
            os.kill(service.pid, number)
            service.wait()
            assert time.monotonic() - began < GRACEFUL


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
        with suppress(ProcessLookupError):  # on a busy machine it may have ended already
            os.kill(worker, signal.SIGTERM)
    service.terminate()
    assert service.wait() == 0
