"""The Redis client: time limits, one circuit breaker, one connection for each thread.

It uses redis-py's connections below its pool, whose lock would cost every cache hit. What it
needs for that is not all documented: see PRIVATE_NAMES.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface
from redis.exceptions import BusyLoadingError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.parsers import SENTINEL_SCHEME, sentinel_url
from app.redis.circuit_breaker import CircuitBreaker
from app.redis.sentinel import Sentinels

PRIVATE_NAMES = (
    "redis:ConnectionPool.connection_class",
    "redis:ConnectionPool.connection_kwargs",
    "redis.connection:AbstractConnection.connect",
    "redis.connection:AbstractConnection.disconnect",
    "redis.connection:AbstractConnection.pack_commands",
    "redis.connection:AbstractConnection.send_packed_command",
    "redis.connection:AbstractConnection.read_response",
)
"""What this module alone uses of redis-py beyond its documentation."""
TIMEOUT_SECONDS = 0.1
LIMITS: Mapping[str, Any] = {
    "socket_timeout": TIMEOUT_SECONDS,
    "socket_connect_timeout": TIMEOUT_SECONDS,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
}
INFO_COMMANDS = (("INFO", "server"), ("INFO", "replication"))
Command = Sequence[Any]
log = logging.getLogger(__name__)


class RedisUnavailable(Exception):
    """Redis cannot be used now, for a reason in one word."""


class Connection(NamedTuple):
    """One thread's connection, and which run of the server it is connected to."""

    raw: ConnectionInterface
    run_id: str
    epoch: int


class RedisClient:
    """Sends commands to one Redis.

    Every exchange ends within about TIMEOUT_SECONDS or raises RedisUnavailable. ``on_lost`` is
    called whenever Redis was out of reach: invalidations may have been missed since. If the URL
    names Sentinels, each new connection is to the master that they name then.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.data_url = url
        """The same, or with Sentinels the URL of the server with the data, without its address."""
        self.master: Mapping[str, Any] = {}
        """The address that Sentinels named last, as arguments of a connection."""
        self._sentinels: Sentinels | None = None
        if url.startswith(f"{SENTINEL_SCHEME}://"):
            names = sentinel_url(url)
            self.data_url, self._sentinels = names.url_of_data(), Sentinels(names, LIMITS)
        self.breaker = CircuitBreaker()
        self.on_lost: Callable[[], None] = lambda: None
        self.epoch = 0
        """Grows when connections that were made before must not be used any more."""
        self._local = threading.local()
        # Only parses the URL. A pool also counts, and limits, the connections that it made.
        pool = ConnectionPool.from_url(self.data_url, **LIMITS)
        self._new_raw_connection = partial(pool.connection_class, **pool.connection_kwargs)

    def connection(self) -> Connection:
        """Return this thread's connection, and open it first if necessary."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.epoch == self.epoch:
            return connection
        return self._connect()

    def with_retry(self, exchange: Callable[[], Any]) -> Any:
        """Return the result of ``exchange``; try once more if only the connection was lost."""
        try:
            return exchange()
        except RedisUnavailable:
            # The server may have closed an idle connection: a new one shows whether it responds.
            if not self.breaker.closed:
                raise
            return exchange()

    def execute(
        self, connection: Connection, command: Command, timeout: float | None = None
    ) -> Any:
        """Return the response to a command; raise RedisUnavailable if Redis refuses it."""
        return self.accepted(self.send(connection, [command], timeout)[0])

    def accepted(self, response: Any) -> Any:
        """Return a response of ``send``; raise RedisUnavailable if it is a refusal."""
        if isinstance(response, ReadOnlyError):  # it is a replica now
            self.reconnect()
        if isinstance(response, ResponseError):
            raise self._unavailable("refused")
        return response

    def send(
        self, connection: Connection, commands: Sequence[Command], timeout: float | None = None
    ) -> list[Any]:
        """Send ``commands`` together and return their responses; a refusal is a ResponseError.

        ``timeout`` replaces TIMEOUT_SECONDS for each response, for commands that block.
        """
        raw = connection.raw
        try:
            raw.send_packed_command(raw.pack_commands(commands))
            responses = [_read_response(raw, timeout) for _ in commands]
        except (RedisTimeoutError, BusyLoadingError) as error:
            self._discard(raw)
            raise self._unavailable(_reason(error)) from error
        except (RedisError, OSError) as error:
            # Perhaps only this connection is lost: the next one decides about the breaker.
            self._discard(raw)
            raise RedisUnavailable("reconnecting") from error
        self.breaker.record_success()
        return responses

    def verify_master(self) -> str:
        """Return the run id; raise RedisUnavailable unless it is still the same, of a master."""
        connection = self.connection()
        try:
            unchanged = run_id_of(self.send(connection, INFO_COMMANDS)) == connection.run_id
        except ResponseError as error:
            self._discard(connection.raw)
            raise self._unavailable("refused") from error
        if not unchanged:
            self._discard(connection.raw)
            raise RedisUnavailable("reconnecting")
        return connection.run_id

    def reconnect(self) -> None:
        """Make every thread connect again: this may be the wrong Redis."""
        self.epoch += 1
        self.close()

    def close(self) -> None:
        """Close this thread's connection; call it before the thread ends."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.raw.disconnect()

    def _connect(self) -> Connection:
        epoch = self.epoch
        raw = self._new_raw_connection(**self._find_master())
        try:
            raw.connect()
            raw.send_packed_command(raw.pack_commands(INFO_COMMANDS))
            run_id = run_id_of([_read_response(raw) for _ in INFO_COMMANDS])
        except (RedisError, OSError) as error:
            raw.disconnect()
            raise self._unavailable(_reason(error)) from error
        self._local.connection = connection = Connection(raw, run_id, epoch)
        return connection

    def _find_master(self) -> Mapping[str, Any]:
        if self._sentinels is not None:
            try:
                self.master = self._sentinels.master()._asdict()
            except RedisError as error:
                raise self._unavailable("unreachable") from error
        return self.master

    def _discard(self, raw: ConnectionInterface) -> None:
        # The connections of the other threads may be dead too. A new epoch makes each thread
        # reconnect: a dead connection would waste the one request that an open breaker allows.
        self.epoch += 1
        self._local.connection = None
        raw.disconnect()
        self.on_lost()

    def _unavailable(self, reason: str) -> RedisUnavailable:
        self.breaker.record_failure()
        self.on_lost()
        return RedisUnavailable(reason)


def _read_response(raw: ConnectionInterface, timeout: float | None = None) -> Any:
    try:
        if timeout is not None:
            return raw.read_response(timeout=timeout)
        return raw.read_response()
    except ResponseError as refusal:
        return refusal


def full_key(run_id: str, name: str) -> str:
    """Return the key of what is valid only within one run of Redis."""
    return f"bookstall:{run_id}:{name}"


def run_id_of(sections: Sequence[Any]) -> str:
    """Return a name for this run as a master: each restart and each promotion makes a new one."""
    info: dict[bytes, str] = {}
    for section in sections:
        if isinstance(section, ResponseError):
            raise section
        pairs = (line.partition(b":") for line in section.splitlines())
        info |= {name: value.decode("ascii") for name, _, value in pairs}
    if info.get(b"role") != "master" or not info.get(b"run_id"):
        raise ResponseError("not a master, or INFO has no run_id")
    return f"{info[b'run_id'][:12]}-{info.get(b'master_replid', '')[:12]}"


def _reason(error: Exception) -> str:
    return "timeout" if isinstance(error, RedisTimeoutError) else "unreachable"
