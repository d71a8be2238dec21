"""All connections of this process: how many are allowed, and which ones must be closed."""

import asyncio
import contextlib
import logging
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from app.auth.policy import Client
from app.errors import ApiError, OverCapacity, ShuttingDown
from app.live.connection import SHUTTING_DOWN, ClientConnection
from app.server.bounds import connection_limit

MAX_CONNECTIONS = 12_000
"""Or three quarters of all connections, if the process may open few files."""
MAX_SUBSCRIPTIONS = 24_000
"""Each takes about 12 kB."""
CHECK_SECONDS = 1.0
STALL_SECONDS = 5.0
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
FORBIDDEN = 4403
log = logging.getLogger(__name__)

FindRevoked = Callable[[set[str]], Awaitable[set[str]]]
"""Returns which of these Authorization values are no longer valid."""


class Quota:
    """At most ``maximum`` of something for all clients, and half of that for each client.

    Half, so that no single client can use up the whole quota.
    """

    def __init__(self, what: str, maximum: int) -> None:
        self._what, self._maximum = what, maximum
        self.by_client: Counter[str] = Counter()
        self.total = 0

    def acquire(self, client: str) -> None:
        """Count one for ``client``; raise OverCapacity."""
        if self.total >= self._maximum:
            raise OverCapacity(f"This process has reached its limit of {self._what}.")
        if self.by_client[client] >= self._maximum // 2:
            raise OverCapacity(f"You have reached the limit of {self._what} for one client.")
        self.by_client[client] += 1
        self.total += 1

    def release(self, client: str) -> None:
        self.total -= 1
        self.by_client[client] -= 1
        if not self.by_client[client]:
            del self.by_client[client]

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Count one for ``client`` while the block runs; raise OverCapacity."""
        self.acquire(client)
        try:
            yield
        finally:
            self.release(client)


class ConnectionRegistry:
    """The connections of one process."""

    def __init__(self, find_revoked: FindRevoked) -> None:
        self._find_revoked = find_revoked
        self._open: set[ClientConnection] = set()
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        maximum = min(MAX_CONNECTIONS, connection_limit(open_files) * 3 // 4)
        self.connections = Quota("connections", maximum)
        self.subscriptions = Quota("subscriptions", MAX_SUBSCRIPTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._checked_at = time.monotonic()
        self._shutting_down = False

    @contextmanager
    def register(self, connection: ClientConnection) -> Iterator[None]:
        """Count ``connection`` while the block runs; raise OverCapacity."""
        if self._shutting_down:
            raise ShuttingDown(SHUTTING_DOWN)
        self.connections.acquire(connection.client.name)
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)
            self.connections.release(connection.client.name)

    def reassign(self, connection: ClientConnection, client: Client) -> None:
        """Count ``connection`` for ``client``, which its key has identified; raise OverCapacity."""
        self.connections.release(connection.client.name)
        try:
            self.connections.acquire(client.name)
        except OverCapacity:
            self.connections.acquire(connection.client.name)
            raise
        connection.client = client

    async def watch(self) -> None:
        """Check all connections once a second, forever."""
        # Two tasks: checking keys may block on the database, and must not delay aborting
        # slow readers.
        await asyncio.gather(
            _every_second(self._check_unless_stalled), _every_second(self.close_revoked)
        )

    async def _check_unless_stalled(self) -> None:
        now = time.monotonic()
        since_last_check, self._checked_at = now - self._checked_at, now
        # While this process was suspended, it received no messages: its clients may not be idle.
        if since_last_check < STALL_SECONDS:
            self.check(now)

    def check(self, now: float) -> None:
        """Abort slow and idle connections, and ping silent ones, at the monotonic time ``now``."""
        for connection in list(self._open):
            if connection.is_slow(now):
                connection.abort("slow reader")
            elif connection.is_idle(now):
                connection.abort("ping timeout")
            elif connection.needs_ping(now):
                self._start(connection.ping())

    async def close_revoked(self) -> None:
        keyed = (connection for connection in self._open if connection.client.key)
        in_use = {connection.authorization for connection in keyed if connection.authorization}
        revoked = await self._find_revoked(in_use) if in_use else set()
        for connection in list(self._open):
            if connection.authorization in revoked:
                self._start(connection.close(FORBIDDEN, "Forbidden"))

    def shut_down(self) -> None:
        """Close all connections, so that their clients reconnect to another process."""
        self._shutting_down = True
        for connection in list(self._open):
            self._start(connection.close(SERVICE_RESTART, "Service Restart"))

    def _start(self, sending: Awaitable[None]) -> None:
        async def run() -> None:
            with contextlib.suppress(OSError):
                await sending

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _every_second(check: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            await check()
        except (ApiError, SQLAlchemyError) as error:  # connections stay until keys can be checked
            log.warning("keys cannot be checked: %s", str(error).splitlines()[0])
        except Exception:
            log.exception("checking connections failed; the next check is in a second")
