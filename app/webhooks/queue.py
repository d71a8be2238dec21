"""The queue of one webhook: its events, sent one after the other."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.changes.pages import show
from app.db.errors import is_unavailable
from app.errors import WindowPassed
from app.events.log import Event, format_cursor
from app.http.trace import stored_headers
from app.live.hub import Batch
from app.webhooks.http_client import Response
from app.webhooks.models import REASON_MAX, Webhook
from app.webhooks.retries import GIVE_UP_AFTER, next_attempt_at
from app.webhooks.sender import Sender, Sending, describe_delivery
from app.webhooks.store import Change

ADVANCE_SECONDS = 60.0
"""A queue that gets no event moves its cursor so often, as the window moves too."""
KEEP_CONNECTION_SECONDS = 2.0
RETRY_SECONDS = 1.0
RESTART_SECONDS = 10.0
GONE = 410
REASON_GONE = "its receiver responded 410 Gone: it wants no further events"
REASON_WINDOW = "its next event is no longer stored: choose where to go on with a replay"
log = logging.getLogger(__name__)


class Queue:
    """Sends the events after the cursor of one webhook, until it is stopped or must not go on."""

    def __init__(self, webhook: Webhook, sending: Sending) -> None:
        self._webhook = webhook
        self._sending = sending
        self._sender = Sender(webhook, sending)
        self._is_sending = False
        self._has_connection = False
        self._sent_at = 0.0
        self.begun_at: tuple[int, str] | None = webhook.version, webhook.cursor_log
        """The version and the log of the webhook; None if its row has to be read again."""
        self.task = asyncio.create_task(self._run())

    def end_if_idle(self) -> None:
        """End ``task`` unless a request was sent: that is first completed and recorded."""
        if not self._is_sending:
            self.task.cancel()

    async def close_idle_connection(self) -> None:
        """Close the connection if it was not used for a while."""
        idle = time.monotonic() - self._sent_at > KEEP_CONNECTION_SECONDS
        if self._has_connection and idle and not self._is_sending:
            self._has_connection = False
            await self._sender.close()

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._follow()
                except SQLAlchemyError as error:
                    if not is_unavailable(error):
                        raise
                    await asyncio.sleep(RETRY_SECONDS)
                except _Ended:
                    return
        except Exception:
            log.exception("delivering to webhook %d failed", self._webhook.id)
            await asyncio.sleep(RESTART_SECONDS)
            self.begun_at = None
        finally:
            await self._sender.close()

    async def _follow(self) -> None:
        webhook = self._webhook
        after = format_cursor(webhook.cursor_log, webhook.cursor_position)
        keys = frozenset(webhook.types) or None
        # A little earlier or later than others: not all write at the same time.
        within = ADVANCE_SECONDS * (0.75 + self._sending.jitter() / 2)
        batches = self._sending.hub.batches(keys, after, lambda: None, within)
        try:
            async with aclosing(batches):
                async for batch in batches:
                    await self._deliver_batch(batch)
        except WindowPassed:
            await self._record({"enabled": False, "disabled_reason": REASON_WINDOW})

    async def _deliver_batch(self, batch: Batch) -> None:
        for event in batch.events:
            await self._deliver(batch.log, event)
        if not batch.events and batch.position > self._webhook.cursor_position:
            await self._record({}, position=batch.position)

    async def _deliver(self, log_name: str, event: Event) -> None:
        """Send an event until that succeeds; raise _Ended if the queue must not go on."""
        webhook, clock = self._webhook, self._sending.clock
        message_id, body = format_cursor(log_name, event.position), show(log_name, event)
        trace = stored_headers(event.context)
        while True:
            if webhook.next_attempt_at is not None:
                await clock.wait_until(webhook.next_attempt_at)
            async with self._sending.slots:
                self._is_sending = True
                try:
                    at = clock.now()
                    response = await self._send(message_id, body, trace)
                    delivery = describe_delivery(message_id, event.type, at, response)
                    delivery["attempt"] = webhook.failed_attempts + 1
                    await self._record_response(event, delivery, response)
                finally:
                    self._is_sending = False
            if self._sending.stopping.is_set():
                raise _Ended
            if response.error is None:
                return

    async def _send(self, message_id: str, body: bytes, trace: Mapping[str, str]) -> Response:
        response = await self._sender.send(message_id, body, trace)
        self._sent_at, self._has_connection = time.monotonic(), True
        return response

    async def _record_response(
        self, event: Event, delivery: Mapping[str, Any], response: Response
    ) -> None:
        if response.error is None:
            values: dict[str, Any] = {
                "failed_attempts": 0,
                "failing_since": None,
                "next_attempt_at": None,
            }
            await self._record(values, position=event.position, delivery=delivery)
        else:
            await self._record(self._after_failure(response), delivery=delivery)

    def _after_failure(self, response: Response) -> dict[str, Any]:
        webhook, at = self._webhook, self._sending.clock.now()
        failing_since, failed_attempts = webhook.failing_since or at, webhook.failed_attempts + 1
        next_at = next_attempt_at(
            at,
            failing_since=failing_since,
            failed_attempts=failed_attempts,
            retry_after=response.retry_after,
            jitter=self._sending.jitter(),
        )
        values: dict[str, Any] = {
            "failed_attempts": failed_attempts,
            "failing_since": failing_since,
            "next_attempt_at": next_at,
        }
        if response.status == GONE:
            values |= {"enabled": False, "disabled_reason": REASON_GONE}
        elif next_at is None:
            reason = f"an event failed for {GIVE_UP_AFTER.days} days, at last: {response.error}"
            values |= {"enabled": False, "disabled_reason": reason[:REASON_MAX]}
        return values

    async def _record(
        self,
        values: dict[str, Any],
        *,
        position: int | None = None,
        delivery: Mapping[str, Any] | None = None,
    ) -> None:
        """Change the row, and what this queue knows of it; raise _Ended if it must not go on."""
        webhook = self._webhook
        expected = {"cursor_log": webhook.cursor_log, "cursor_position": webhook.cursor_position}
        if position is None:
            # What a client has changed since, such as the URL, may deserve a new attempt.
            expected["version"] = webhook.version
        else:
            values = {**values, "cursor_position": position}
        applied = await self._sending.recorder.record(
            Change(webhook.id, expected, values, delivery)
        )
        for name, value in values.items():
            setattr(webhook, name, value)
        if not applied:
            self.begun_at = None
        if not applied or not webhook.enabled:
            raise _Ended


class _Ended(Exception):
    """A queue must not go on: the webhook was changed or disabled."""
