"""Deliverers and receivers that end with their test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

from tests.app.webhooks.receivers import Receiver
from tests.app.webhooks.running import Running
from tests.waiting import PATIENCE


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """A factory of receivers."""
    with ExitStack() as running:

        def start(*arguments: Any, **named: Any) -> Receiver:
            receiver = Receiver(*arguments, **named)
            running.callback(receiver.close)
            return receiver

        yield start


@pytest.fixture
def deliver(
    receive: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Running]]:
    """A factory of deliverers that begin at once, and look for changes often.

    They go on while a check of their lock takes long, as on a busy machine.
    """
    monkeypatch.setattr("app.webhooks.deliverer.TAKEOVER_SECONDS", 0)
    monkeypatch.setattr("app.webhooks.deliverer.POLL_SECONDS", 0.05)
    monkeypatch.setattr("app.webhooks.deliverer.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("app.webhooks.deliverer.CHECK_TIMEOUT_SECONDS", PATIENCE)
    monkeypatch.setattr("app.webhooks.deliverer.FINISH_SECONDS", 2)
    with ExitStack() as running:

        def start(*arguments: Any, **named: Any) -> Running:
            deliverer = Running(*arguments, **named)
            running.callback(deliverer.stop)
            return deliverer

        yield start


@pytest.fixture
def app(make_app: Callable[..., Flask], database: str) -> Flask:
    """The service on each database; webhooks may go to this host."""
    return make_app(database, webhook_private_targets=True)
