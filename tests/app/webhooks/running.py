"""Deliverers in this process and in others, and functions that write events."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any

from flask import Flask
from sqlalchemy import select

from app.events import log as events
from app.events.log import NewEvent
from app.extensions import db
from app.services import services_of
from app.webhooks import services
from app.webhooks.deliverer import Deliverer
from app.webhooks.election import make_lock
from app.webhooks.http_client import Resolve, SystemResolver
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.sender import Clock
from stack.process import Server
from tests.app.webhooks.receivers import Receiver
from tests.servers import ROOT, SECRET
from tests.waiting import PATIENCE, wait_until


class FastClock(Clock):
    """Passes waits by, and notes how many seconds they would have taken."""

    def __init__(self) -> None:
        self.passed = timedelta()
        self.waits: list[float] = []

    def now(self) -> datetime:
        return super().now() + self.passed

    async def wait_until(self, at: datetime) -> None:
        left = max(at - self.now(), timedelta())
        self.waits.append(left.total_seconds())
        self.passed += left
        await asyncio.sleep(0.001)


class Running:
    """A deliverer in a thread."""

    def __init__(
        self, app: Flask, resolve: Resolve | None = None, clock: Clock | None = None
    ) -> None:
        self._app, self._resolve, self._clock = app, resolve or SystemResolver(), clock
        self._started = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._started.wait(PATIENCE)
        wait_until(lambda: self.deliverer.is_delivering)

    async def _run(self) -> None:
        lock = make_lock(services_of(self._app).settings.database_url)
        self.deliverer = Deliverer(self._app, lock, self._resolve, self._clock)
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self.deliverer.run()

    def stop_soon(self) -> None:
        self._loop.call_soon_threadsafe(self.deliverer.stop)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.stop_soon()
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()


class DelivererProcess(Server):
    """`flask webhooks deliver`."""

    def __init__(self, database_url: str, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": SECRET,
            "DATABASE_URL": database_url,
            "WEBHOOK_PRIVATE_TARGETS": "true",
            "LOG_FORMAT": "json",
        }

    def command(self) -> list[str]:
        flask = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py")]
        return [*flask, "webhooks", "deliver", *self._arguments]

    def popen_options(self) -> Mapping[str, Any]:
        return {"env": self._environment}

    def is_ready(self) -> bool:
        return True

    @property
    def delivers(self) -> bool:
        return "this process delivers to webhooks" in self.log.read_text()


def add_webhook(app: Flask, receiver: Receiver, types: Sequence[str] = ()) -> int:
    """Add a webhook whose receiver verifies the signatures; return its id."""
    with app.app_context():
        webhook = services.add_webhook(receiver.url, list(types))
    receiver.secret = webhook.secret
    return int(webhook.id)


def write(app: Flask, count: int, kind: str = "stock.changed") -> list[str]:
    """Commit events one by one; return their cursors."""
    engine = services_of(app).autocommit_engine
    cursors = []
    for number in range(count):
        with app.app_context():
            numbered = events.append([NewEvent(kind, "product:1", {"id": 1, "delta": number})])
            db.session.commit()
            services_of(app).sequencer.wake(numbered)
        head = events.head(engine)
        cursors.append(events.format_cursor(head.log, head.position))
    return cursors


def webhook(app: Flask, number: int) -> Webhook:
    with app.app_context():
        found = db.session.get(Webhook, number)
        assert found is not None
        db.session.expunge(found)
        return found


def deliveries(app: Flask, number: int) -> list[WebhookDelivery]:
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == number)
    with app.app_context():
        found = list(db.session.scalars(statement.order_by(WebhookDelivery.id)))
        db.session.expunge_all()
        return found
