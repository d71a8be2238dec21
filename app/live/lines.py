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

from app.access import Client
from app.errors import ApiError
from app.live.line import Line

CONNECTIONS = 12_000
OF_ONE_CLIENT = CONNECTIONS // 2
"""Half: whatever one client does, there is room for others."""
WATCH_SECONDS = 1.0
RESTART = 1012
AGAIN_LATER = 1013
FORBIDDEN = 4403
log = logging.getLogger(__name__)

Revoked = Callable[[set[str]], Awaitable[set[str]]]
"""Says which of these Authorizations are no good any more."""


class TooManyConnections(ApiError):  # noqa: N818 - named as its kin
    """This process has as many connections as it takes, from all or from this client."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    code = AGAIN_LATER
    """With which a WebSocket is closed."""
    seconds = 5

    def headers(self) -> dict[str, str]:
        """Tell when to come back."""
        return {"Retry-After": str(self.seconds)}


class EndsSoon(TooManyConnections):
    """This process takes no connection any more; another does."""

    code = RESTART
    seconds = 1


class Lines:
    """The connections of one process."""

    def __init__(self, revoked: Revoked) -> None:
        self._revoked = revoked
        self._lines: set[Line] = set()
        self._clients: Counter[str] = Counter()
        self._endings: set[asyncio.Task[None]] = set()
        self.is_leaving = False

    def __len__(self) -> int:
        return len(self._lines)

    @contextmanager
    def hold(self, line: Line) -> Iterator[None]:
        """Count ``line`` while the block runs; raise TooManyConnections."""
        if self.is_leaving:
            raise EndsSoon("This process is about to end; please connect again.")
        if len(self._lines) >= CONNECTIONS:
            raise TooManyConnections("This process has as many connections as it takes.")
        self._count(line.client)
        self._lines.add(line)
        try:
            yield
        finally:
            self._lines.discard(line)
            self._discount(line.client)

    def rename(self, line: Line, client: Client) -> None:
        """Count ``line`` for another client: it has shown a key."""
        self._count(client)
        self._discount(line.client)
        line.client = client

    def _count(self, client: Client) -> None:
        if self._clients[client.name] >= OF_ONE_CLIENT:
            raise TooManyConnections("You have as many connections here as one client may have.")
        self._clients[client.name] += 1

    def _discount(self, client: Client) -> None:
        self._clients[client.name] -= 1
        if not self._clients[client.name]:
            del self._clients[client.name]

    async def watch(self) -> None:
        """Look after all lines, once a second, for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                self._look_at_all(time.monotonic())
                await self._end_revoked()
            except (ApiError, SQLAlchemyError) as error:  # who is in stays in until it can be asked
                log.warning("keys cannot be checked: %s", str(error).splitlines()[0])
            except Exception:
                log.exception("the watch over all lines goes on after a failure")

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
