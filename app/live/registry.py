"""All connections of this process: how many there may be, and which have to end."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from sqlalchemy.exc import SQLAlchemyError

from app.auth.policy import Client
from app.errors import ApiError
from app.live.connection import Line

CONNECTIONS = 12_000
SUBSCRIPTIONS = 24_000
"""Each takes some 12 kB."""
WATCH_SECONDS = 1.0
STALL_SECONDS = 5.0
RESTART = 1012
AGAIN_LATER = 1013
FORBIDDEN = 4403
log = logging.getLogger(__name__)

Revoked = Callable[[set[str]], Awaitable[set[str]]]
"""Says which of these Authorizations are no good any more."""


class TooMany(ApiError):  # noqa: N818 - named as its kin
    """This process has as many as it takes, from all or from this client."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = AGAIN_LATER
    """With which a WebSocket is closed."""
    seconds = 5

    def headers(self) -> dict[str, str]:
        """Tell when to come back."""
        return {"Retry-After": str(self.seconds)}


class EndsSoon(TooMany):
    """This process takes no connection any more; another does."""

    code = RESTART
    seconds = 1


class Quota:
    """So many of something for all clients, and half as many for each.

    Half: whatever one client does, there is room for others.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most = what, most
        self._of_client: Counter[str] = Counter()
        self._all = 0

    def take(self, client: str) -> None:
        """Count one of ``client``; raise TooMany."""
        if self._all >= self._most:
            raise TooMany(f"This process has as many {self._what} as it takes.")
        if self._of_client[client] >= self._most // 2:
            raise TooMany(f"You have as many {self._what} here as one client may have.")
        self._of_client[client] += 1
        self._all += 1

    def give_back(self, client: str) -> None:
        """Count one of ``client`` no more."""
        self._all -= 1
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Count one of ``client`` while the block runs; raise TooMany."""
        self.take(client)
        try:
            yield
        finally:
            self.give_back(client)


class Lines:
    """The connections of one process."""

    def __init__(self, revoked: Revoked) -> None:
        self._revoked = revoked
        self._lines: set[Line] = set()
        self._connections = Quota("connections", CONNECTIONS)
        self.subscriptions = Quota("subscriptions", SUBSCRIPTIONS)
        self._endings: set[asyncio.Task[None]] = set()
        self._looked_at = time.monotonic()
        self.is_leaving = False

    def __len__(self) -> int:
        return len(self._lines)

    @contextmanager
    def hold(self, line: Line) -> Iterator[None]:
        """Count ``line`` while the block runs; raise TooMany."""
        if self.is_leaving:
            raise EndsSoon("This process is about to end; please connect again.")
        self._connections.take(line.client.name)
        self._lines.add(line)
        try:
            yield
        finally:
            self._lines.discard(line)
            self._connections.give_back(line.client.name)

    def rename(self, line: Line, client: Client) -> None:
        """Count ``line`` for another client: it has shown a key."""
        self._connections.give_back(line.client.name)
        try:
            self._connections.take(client.name)
        except TooMany:
            self._connections.take(line.client.name)
            raise
        line.client = client

    async def watch(self) -> None:
        """Look after all lines, once a second, for ever."""
        # Apart: the keys are asked of a database, and who does not read has to end all the same.
        await asyncio.gather(_every_second(self._look), _every_second(self._end_revoked))

    async def _look(self) -> None:
        now, before, self._looked_at = time.monotonic(), self._looked_at, time.monotonic()
        # Where this process itself stood still, nobody could show a sign of life.
        if now - before < STALL_SECONDS:
            self._look_at_all(now)

    def _look_at_all(self, now: float) -> None:
        for line in list(self._lines):
            if line.is_slow(now):
                line.cut("does not read")
            elif line.is_silent(now):
                line.cut("does not answer")
            elif line.wants_ping(now):
                self._start(line.ping())

    async def _end_revoked(self) -> None:
        shown = {line.presented for line in self._lines if line.client.key and line.presented}
        revoked = await self._revoked(shown) if shown else set()
        for line in list(self._lines):
            if line.presented in revoked:
                self._start(line.close(FORBIDDEN, "Forbidden"))

    def leave(self) -> None:
        """Tell everybody to connect again elsewhere: this process is about to end."""
        self.is_leaving = True
        for line in list(self._lines):
            self._start(line.close(RESTART, "Service Restart"))

    def _start(self, ending: Awaitable[None]) -> None:
        async def run() -> None:
            with contextlib.suppress(OSError):
                await ending

        task = asyncio.create_task(run())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


async def _every_second(look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await look()
        except (ApiError, SQLAlchemyError) as error:  # who is in stays in until it can be asked
            log.warning("keys cannot be checked: %s", str(error).splitlines()[0])
        except Exception:
            log.exception("the watch over all lines goes on after a failure")
