"""The deliverer: it sends events to webhooks while it is the one process of all that does."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import describe
from app.extensions import db
from app.live.feed import Feed, run_in
from app.live.hub import RunInThread
from app.services import services_of
from app.webhooks.election import CHECK_SECONDS, CHECK_TIMEOUT_SECONDS, TAKEOVER_SECONDS, Lock
from app.webhooks.http_client import CheckedNetwork, Resolve
from app.webhooks.queue import Queue
from app.webhooks.recorder import Recorder
from app.webhooks.sender import Clock, Sending, send_test
from app.webhooks.store import Store, Watched

POLL_SECONDS = 1.0
"""How often it looks for the lock while another process has it, and for changed webhooks."""
FINISH_SECONDS = 6.0
"""How long requests that were sent may take when the process is to end."""
PURGE_SECONDS = 3_600.0
HUB_THREADS = 2
log = logging.getLogger(__name__)


class Deliverer:
    """Delivers from when it obtains ``lock`` until it is stopped or loses that."""

    def __init__(
        self, app: Flask, lock: Lock, resolve: Resolve, clock: Clock | None = None
    ) -> None:
        self._services = services_of(app)
        settings = self._services.settings
        with app.app_context():
            self._store = Store(db.engine, self._services.autocommit_engine)
        self._lock = lock
        self._clock = clock or Clock()
        self._network = CheckedNetwork(resolve, private=settings.webhook_private_targets)
        self._tls = ssl.create_default_context()
        self._keep = timedelta(days=settings.feed_days)
        # One thread each: what it does is done in the order of the calls.
        self._in_lock_thread = _thread_pool(1, "webhook-lock")
        self._in_store_thread = _thread_pool(1, "webhook-store")
        self._in_hub_thread = _thread_pool(HUB_THREADS, "webhook-hub")
        self._stopping = asyncio.Event()
        self.is_delivering = False

    def stop(self) -> None:
        """Let ``run`` return when the requests that were sent are completed."""
        self._stopping.set()

    async def run(self) -> None:
        """Deliver while this process has the lock, until stopped."""
        try:
            while not self._stopping.is_set():
                if await self._obtain_lock():
                    await self._deliver_while_locked()
                await self._pause(POLL_SECONDS)
        finally:
            await self._in_lock_thread(self._lock.release)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _obtain_lock(self) -> bool:
        try:
            if not await self._in_lock_thread(self._lock.acquire):
                return False
        except (SQLAlchemyError, OSError) as error:
            log.warning("webhooks wait: %s", describe(error))
            return False
        await self._pause(TAKEOVER_SECONDS)
        return not self._stopping.is_set() and await self._has_lock()

    async def _has_lock(self) -> bool:
        try:
            check = self._in_lock_thread(self._lock.is_held)
            return bool(await asyncio.wait_for(check, CHECK_TIMEOUT_SECONDS))
        except TimeoutError:
            return False

    async def _deliver_while_locked(self) -> None:
        log.info("this process delivers to webhooks")
        feed = Feed(self._services, self._in_hub_thread)
        recorder = Recorder(self._store, self._in_store_thread)
        sending = Sending(
            hub=feed.hub,
            recorder=recorder,
            network=self._network,
            tls=self._tls,
            secret_key=self._services.settings.secret_key,
            private_targets=self._services.settings.webhook_private_targets,
            stopping=self._stopping,
            clock=self._clock,
        )
        queues = Queues(self._store, self._in_store_thread, sending, feed.start)
        self.is_delivering = True
        tasks = [asyncio.create_task(task) for task in (recorder.run(), self._maintain(queues))]
        try:
            await self._while_locked()
            # Without the lock another process may deliver at any moment.
            await queues.stop(FINISH_SECONDS if self._stopping.is_set() else 0)
        finally:
            self.is_delivering = False
            for task in tasks:
                task.cancel()
            await queues.stop(0)
            await feed.stop()

    async def _while_locked(self) -> None:
        while not self._stopping.is_set():
            await self._pause(CHECK_SECONDS)
            if not await self._has_lock():
                log.warning("this process lost the lock of webhooks: another one may deliver")
                return

    async def _maintain(self, queues: "Queues") -> None:
        """Bring the queues up to date, and remove old deliveries, until cancelled."""
        purged_at, is_down = float("-inf"), False
        while True:
            try:
                await queues.update()
                if time.monotonic() - purged_at > PURGE_SECONDS:
                    await self._in_store_thread(self._store.purge, self._keep)
                    purged_at = time.monotonic()
                is_down = False
            except SQLAlchemyError as error:
                if not is_down:
                    log.warning("webhooks are not read: %s", describe(error))
                is_down = True
            except Exception:
                log.exception("the webhooks were not read; the deliverer tries again")
            await asyncio.sleep(POLL_SECONDS)


class Queues:
    """The queues of all enabled webhooks."""

    def __init__(
        self,
        store: Store,
        in_store_thread: RunInThread,
        sending: Sending,
        start_feed: Callable[[], None],
    ) -> None:
        self._start_feed = start_feed
        self._store = store
        self._in_store_thread = in_store_thread
        self._sending = sending
        self._queues: dict[int, Queue] = {}
        self._tests: dict[int, tuple[str, asyncio.Task[None]]] = {}
        """The last test event of each webhook."""

    async def update(self) -> None:
        """Begin and end queues as the table has changed; raise SQLAlchemyError."""
        found: Sequence[Watched] = await self._in_store_thread(self._store.watched)
        enabled = {row.id: (row.version, row.log) for row in found if row.enabled}
        for number in [number for number in self._queues if number not in enabled]:
            self._queues.pop(number).task.cancel()
        changed = [number for number, place in enabled.items() if self._begun_at(number) != place]
        tested = [row.id for row in found if row.test_id and row.test_id != self._tested(row.id)]
        if changed or tested:
            await self._begin(set(changed), set(tested))
        for queue in self._queues.values():
            await queue.close_idle_connection()

    def _begun_at(self, number: int) -> tuple[int, str] | None:
        queue = self._queues.get(number)
        return queue.begun_at if queue else None

    def _tested(self, number: int) -> str | None:
        return self._tests[number][0] if number in self._tests else None

    async def _begin(self, changed: set[int], tested: set[int]) -> None:
        for webhook in await self._in_store_thread(self._store.webhooks, [*changed | tested]):
            if webhook.id in changed:
                old = self._queues.pop(webhook.id, None)
                if old is not None:
                    old.task.cancel()
                    await asyncio.wait([old.task])
                self._start_feed()  # not before: reading the log has its cost
                self._queues[webhook.id] = Queue(webhook, self._sending)
            if webhook.id in tested and webhook.test_id:
                task = asyncio.create_task(send_test(webhook, self._sending))
                self._tests[webhook.id] = webhook.test_id, task

    async def stop(self, seconds: float) -> None:
        """End all queues; complete requests that were sent, for up to ``seconds``."""
        tasks = [queue.task for queue in self._queues.values()]
        tasks += [task for _, task in self._tests.values()]
        for queue in self._queues.values():
            queue.end_if_idle()
        if tasks and seconds:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._queues.clear()
        self._tests.clear()


def _thread_pool(threads: int, name: str) -> RunInThread:
    return run_in(ThreadPoolExecutor(threads, thread_name_prefix=name))
