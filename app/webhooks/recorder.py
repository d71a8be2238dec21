"""Writes what came of requests, many of them in one transaction."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import describe, is_unavailable
from app.live.hub import RunInThread
from app.webhooks.store import Change, Store

BATCH = 100
RETRY_SECONDS = 1.0
log = logging.getLogger(__name__)


class Recorder:
    """The queue of changes of one deliverer. While the database is unavailable, they wait."""

    def __init__(self, store: Store, in_thread: RunInThread) -> None:
        self._store = store
        self._in_thread = in_thread
        self._waiting: deque[tuple[Change, asyncio.Future[bool]]] = deque()
        self._has_changes = asyncio.Event()

    async def record(self, change: Change) -> bool:
        """Return after ``change`` was committed: whether the webhook was as expected.

        It is made even if the caller no longer waits.
        """
        made: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, made))
        self._has_changes.set()
        return await made

    async def run(self) -> None:
        """Write changes in the order of the calls, until cancelled."""
        while True:
            await self._has_changes.wait()
            self._has_changes.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._write(some)

    async def _write(self, some: Sequence[tuple[Change, asyncio.Future[bool]]]) -> None:
        outcome: Sequence[bool | BaseException]
        try:
            outcome = await self._write_patiently([change for change, _ in some])
        except Exception as error:  # noqa: BLE001 - those who wait for the changes get it
            outcome = [error] * len(some)
        for (_, made), applied in zip(some, outcome, strict=True):
            if made.done():
                continue
            if isinstance(applied, BaseException):
                made.set_exception(applied)
            else:
                made.set_result(applied)

    async def _write_patiently(self, changes: Sequence[Change]) -> Sequence[bool]:
        has_failed = False
        while True:
            try:
                applied: Sequence[bool] = await self._in_thread(self._store.write, changes)
            except SQLAlchemyError as error:
                if not is_unavailable(error):
                    raise
                if not has_failed:
                    log.warning("deliveries are not recorded yet: %s", describe(error))
                has_failed = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return applied
