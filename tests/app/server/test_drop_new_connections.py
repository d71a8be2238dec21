"""The socket filter that empties an accept queue before its listener is closed."""

import socket
import sys

import pytest

from app.server.shutdown import drop_new_connections


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is a feature of Linux")
def test_new_connections_are_dropped_and_queued_ones_can_still_be_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as queued:
            queued.sendall(b"request")
            drop_new_connections(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(100) == b"request"
