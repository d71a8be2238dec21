"""Sending signed requests to a webhook: events for its queue, and test events."""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.db.types import now
from app.json import encode
from app.live.hub import Hub
from app.webhooks.http_client import CheckedNetwork, Client, Response
from app.webhooks.models import REASON_MAX, Webhook
from app.webhooks.recorder import Recorder
from app.webhooks.secrets import SecretUnreadable, signing_keys
from app.webhooks.signing import signed_headers
from app.webhooks.store import Change
from app.webhooks.targets import parse_target

MAX_REQUESTS = 1_000
"""At a time, of all webhooks."""
TEST_TYPE = "webhook.test"
HEADERS = {"content-type": "application/json", "user-agent": "Bookstall"}
NO_HEADERS: Mapping[str, str] = {}


class Clock:
    """The time by which requests are repeated."""

    def now(self) -> datetime:
        return now()

    async def wait_until(self, at: datetime) -> None:
        while (seconds := (at - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(seconds, 60.0))  # somebody may set the clock


@dataclass(kw_only=True)
class Sending:
    """What all queues of a deliverer share."""

    hub: Hub
    recorder: Recorder
    network: CheckedNetwork
    tls: ssl.SSLContext
    secret_key: str
    private_targets: bool
    stopping: asyncio.Event
    """Set when no further request may be sent."""
    clock: Clock = field(default_factory=Clock)
    jitter: Callable[[], float] = random.random
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_REQUESTS))


class Sender:
    """Sends signed requests to one webhook."""

    def __init__(self, webhook: Webhook, sending: Sending) -> None:
        self._webhook = webhook
        self._sending = sending
        self._client: Client | None = None

    async def send(
        self, message_id: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> Response:
        """Send a signed body, once; ``headers`` are sent beside those of every request."""
        try:
            if self._client is None:
                target = parse_target(self._webhook.url, private=self._sending.private_targets)
                self._client = Client(target, self._sending.network, self._sending.tls)
            keys = signing_keys(self._webhook, self._sending.secret_key)
        except ValueError as error:  # other settings than when it was stored
            return Response(None, f"its URL {error}", None, 0)
        except SecretUnreadable as error:
            return Response(None, str(error), None, 0)
        signed = signed_headers(keys, message_id, int(time.time()), body)
        return await self._client.post({**headers, **HEADERS, **signed}, body)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def describe_delivery(
    message_id: str, kind: str, at: datetime, response: Response
) -> dict[str, Any]:
    """Return the columns of a delivery, as of a first attempt."""
    return {
        "message_id": message_id,
        "type": kind,
        "attempt": 1,
        "status": response.status,
        "error": response.error and response.error[:REASON_MAX],
        "duration_ms": response.milliseconds,
        "at": at,
    }


async def send_test(webhook: Webhook, sending: Sending) -> None:
    """Send the test event that a webhook waits for, once, and record it."""
    message_id, at = str(webhook.test_id), sending.clock.now()
    shown: dict[str, Any] = {"cursor": None, "type": TEST_TYPE, "at": at, "data": {}}
    sender = Sender(webhook, sending)
    try:
        async with sending.slots:
            response = await sender.send(message_id, encode(shown))
        delivery = describe_delivery(message_id, TEST_TYPE, at, response)
        change = Change(webhook.id, {"test_id": message_id}, {"test_id": None}, delivery)
        await sending.recorder.record(change)
    finally:
        await sender.close()
