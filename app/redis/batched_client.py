"""Redis on the event loop: what all waiting requests want to know is asked in one round trip.

One connection, and one exchange at a time. Whatever is asked during an exchange is sent in the
next one, so a response always shows the state of Redis after its question.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from app.redis.circuit_breaker import CircuitBreaker
from app.redis.client import (
    INFO_COMMANDS,
    TIMEOUT_SECONDS,
    Command,
    RedisClient,
    RedisUnavailable,
    full_key,
    run_id_of,
)

PRIVATE_NAMES = (
    "redis.asyncio:ConnectionPool.connection_class",
    "redis.asyncio:ConnectionPool.connection_kwargs",
    "redis.asyncio.connection:AbstractConnection.connect",
    "redis.asyncio.connection:AbstractConnection.disconnect",
    "redis.asyncio.connection:AbstractConnection.pack_commands",
    "redis.asyncio.connection:AbstractConnection.send_packed_command",
    "redis.asyncio.connection:AbstractConnection.read_response",
)
"""What this module alone uses of redis-py's asyncio connections beyond its documentation."""


GRACE_SECONDS = TIMEOUT_SECONDS / 4
"""After a timeout, the time to read what had arrived while the event loop was busy."""


class Call(NamedTuple):
    """A command, and what receives its response: also a refusal, as a ResponseError."""

    command: Command
    on_response: Callable[[Any], None]


class Values(NamedTuple):
    """Values of keys, and the run of Redis that they come from."""

    run_id: str
    by_key: Mapping[str, bytes | None]


@dataclass(slots=True)
class _Batch:
    keys: dict[str, None] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    waiters: list[asyncio.Future[Values]] = field(default_factory=list)


class BatchedClient:
    """Asks the Redis of ``client``, whose circuit breaker it shares. Use it in one event loop."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        pool = ConnectionPool.from_url(client.data_url, retry=Retry(NoBackoff(), 0), protocol=2)
        options = pool.connection_kwargs
        # One timeout for the whole exchange is cheaper than one for each of its steps.
        self._timeout = options.get("socket_timeout") or TIMEOUT_SECONDS
        self._new_connection = partial(pool.connection_class, **{**options, "socket_timeout": None})
        self._connection: AbstractConnection | None = None
        self._epoch = 0
        # A breaker of its own: threads may keep their connections where no new one is accepted.
        self._breaker = CircuitBreaker()
        self._run_id = ""
        self._next = _Batch()
        self._sent = self._next
        """The batch of the current exchange; the next one while there is none."""
        self._sender: asyncio.Task[None] | None = None

    async def get(self, keys: Iterable[str], calls: Mapping[str, Call]) -> Values:
        """Return the values of ``keys`` at a moment after this call; raise RedisUnavailable.

        Keys are names within the run of Redis. ``calls`` are sent in the same round trip, but of
        those with the same name only the first, until Redis has responded to it.
        """
        batch = self._next
        batch.keys |= dict.fromkeys(keys)
        for name, call in calls.items():
            if name not in self._sent.calls:
                batch.calls.setdefault(name, call)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Values] = loop.create_future()
        batch.waiters.append(waiter)
        if self._sender is None:
            self._sender = loop.create_task(self._send_batches())
        return await waiter

    def reconnect(self) -> None:
        """Make the next exchange open a new connection: this one is to the wrong Redis."""
        self._epoch = -1

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _send_batches(self) -> None:
        while self._next.waiters:
            batch = self._sent = self._next
            self._next = _Batch()
            try:
                values = await self._exchange(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                if not isinstance(error, RedisUnavailable):
                    await self.close()  # perhaps responses are left to read
                for waiter in batch.waiters:
                    if not waiter.done():  # as it is if its request was cancelled
                        waiter.set_exception(error)
            else:
                for waiter in batch.waiters:
                    if not waiter.done():
                        waiter.set_result(values)
        self._sender, self._sent = None, self._next

    async def _exchange(self, batch: _Batch) -> Values:
        if not (self._client.breaker.closed and self._breaker.allow_request()):
            raise RedisUnavailable("unavailable")
        try:
            async with asyncio.timeout(None) as limit:
                loop = asyncio.get_running_loop()
                timer = loop.call_later(self._timeout, _end_soon, limit)
                try:
                    found, *responses = await self._send(batch)
                finally:
                    timer.cancel()
        except (TimeoutError, BusyLoadingError) as error:
            self._client.breaker.record_failure()
            raise await self._disconnect("timeout") from error
        except (RedisError, OSError) as error:
            # Perhaps only this connection is lost: that of a thread decides about its breaker.
            if not self._run_id:
                self._breaker.record_failure()
            raise await self._disconnect("reconnecting") from error
        if isinstance(found, ResponseError):
            raise await self._disconnect("refused")
        self._client.breaker.record_success()
        self._breaker.record_success()
        for call, response in zip(batch.calls.values(), responses, strict=True):
            call.on_response(response)
        return Values(self._run_id, dict(zip(batch.keys, found, strict=True)))

    async def _send(self, batch: _Batch) -> list[Any]:
        if self._connection is not None and self._epoch != self._client.epoch:
            await self.close()
        connection = self._connection or await self._connect()
        keys = [full_key(self._run_id, key) for key in batch.keys]
        commands = [("MGET", *keys), *(call.command for call in batch.calls.values())]
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await _read_response(connection) for _ in commands]

    async def _connect(self) -> AbstractConnection:
        self._run_id = ""
        self._epoch = self._client.epoch
        # Threads have asked the Sentinels, if there are any: no lease is without them.
        connection = self._connection = self._new_connection(**self._client.master)
        await connection.connect()
        await connection.send_packed_command(connection.pack_commands(INFO_COMMANDS))
        self._run_id = run_id_of([await _read_response(connection) for _ in INFO_COMMANDS])
        return connection

    async def _disconnect(self, reason: str) -> RedisUnavailable:
        """Drop the connection, as invalidations may have been missed; the next batch opens one."""
        await self.close()
        self._client.on_lost()
        return RedisUnavailable(reason)


def _end_soon(limit: asyncio.Timeout) -> None:
    # Not at once: perhaps not Redis was late, but the event loop.
    limit.reschedule(asyncio.get_running_loop().time() + GRACE_SECONDS)


async def _read_response(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return refusal
