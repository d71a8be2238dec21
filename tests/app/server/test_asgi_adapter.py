"""The installed gunicorn has what we use of it beyond its documentation."""

import pytest
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from app.live import connection
from app.server import asgi_adapter, asgi_connection, asgi_websocket, incoming, wsgi_worker
from tests.app.private_names import check

ADAPTERS = (connection, asgi_adapter, asgi_connection, asgi_websocket, incoming, wsgi_worker)


@pytest.mark.parametrize(
    ("adapter", "name"), [(module, name) for module in ADAPTERS for name in module.PRIVATE_NAMES]
)
def test_gunicorn_has_the_private_name(adapter, name):
    check(name, adapter, "gunicorn")


def test_the_worker_opens_its_listeners_through_the_loop():
    assert "create_server" in ASGIWorker._serve.__code__.co_names


def test_a_connection_looks_its_websocket_up_in_the_module():
    assert "WebSocketProtocol" in ASGIProtocol._handle_websocket.__code__.co_names
