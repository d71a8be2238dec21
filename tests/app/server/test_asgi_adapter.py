"""The installed gunicorn has what the adapter uses."""

import pytest
from gunicorn.workers.gasgi import ASGIWorker

from app.server import asgi_adapter
from tests.app.private_names import check


@pytest.mark.parametrize("name", asgi_adapter.PRIVATE_NAMES)
def test_gunicorn_has_the_private_name(name):
    check(name, asgi_adapter, "gunicorn")


def test_the_worker_opens_its_listeners_through_the_loop():
    assert "create_server" in ASGIWorker._serve.__code__.co_names
