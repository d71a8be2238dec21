"""The Flask-Caching backend: finished answers in Redis, valid only while their tags stand.

What lies in Redis, below a prefix made of the server's ``run_id``:

    bookstall:<run_id>:t:<tag>    a random version of the tag, made by the first reader
    bookstall:<run_id>:e:<key>    an entry: the versions of its tags as read before its query,
                                  then the answer's bytes

An entry counts only while all its tags have the versions that it carries. To invalidate is to
delete the tag: the next reader makes a version that never was before, so that a slow reader
cannot put an old answer back. Deleting needs no memory, so it works on a full Redis too.
A Redis that restarts has a new ``run_id`` and therefore begins empty, whatever it remembers.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from flask import Flask
from flask_caching.backends.base import BaseCache
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.breaker import Breaker

TIMEOUT_SECONDS = 0.1
EVERYTHING = "*"
"""A tag that every entry has."""
MOST_TAGS = 500
"""More than that are not deleted one by one: it would take longer than a time-out."""
VERSION_BYTES = 8


class CacheAway(Exception):  # noqa: N818 - a state of affairs, handled where it arises
    """Redis cannot be used now, for a reason in one word."""


class Lookup(NamedTuple):
    """What a look found: the tags' present versions, and the answer if a valid one is there."""

    versions: bytes | None
    entry: bytes | None


class _Link(NamedTuple):
    """One thread's connection, and the prefix of all keys of the server it leads to."""

    connection: ConnectionInterface
    prefix: str
    epoch: int


class RedisCache(BaseCache):
    """Asks one Redis; every exchange ends within about TIMEOUT_SECONDS or raises CacheAway.

    Each thread has a connection of its own, which spares a hit the pool's lock.
    ``on_lost`` is called whenever Redis was out of reach: what was believed about the cache
    before has to be proved again.
    """

    def __init__(self, url: str, ttl: int) -> None:
        super().__init__(default_timeout=ttl)
        self.breaker = Breaker()
        self.on_lost: Callable[[], None] = lambda: None
        self._ttl = ttl
        self._epoch = 0
        self._local = threading.local()
        # Only to read the URL: the pool counts the connections that it ever made.
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._connect = partial(pool.connection_class, **pool.connection_kwargs)

    @classmethod
    def factory(
        cls,
        app: Flask,
        config: dict[str, Any],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> "RedisCache":
        """Make the backend as Flask-Caching asks for it."""
        return cls(config["CACHE_REDIS_URL"], config["CACHE_DEFAULT_TIMEOUT"])

    def look_up(self, key: str, tags: Sequence[str]) -> Lookup:
        """Read the entry and its tags' versions in one round trip."""
        link = self._link()
        names = _tags(link, [*tags, EVERYTHING])
        entry, *found = self._need(link, ["MGET", _entry(link, key), *names])
        if None in found:
            return Lookup(self._make_versions(link, names), None)
        versions = b"".join(found)
        if entry is not None and entry.startswith(versions):
            return Lookup(versions, entry[len(versions) :])
        return Lookup(versions, None)

    def _make_versions(self, link: _Link, names: Sequence[str]) -> bytes | None:
        """Give versions to the tags that have none, and return all; None if Redis is full."""
        # Twice the life of an entry: a version that expires too early costs only a miss.
        expiry = 2 * self._ttl
        commands = [["SET", name, os.urandom(VERSION_BYTES), "EX", expiry, "NX"] for name in names]
        found = self._ask(link, [*commands, ["MGET", *names]])[-1]
        return None if None in found else b"".join(found)

    def store(self, key: str, versions: bytes, entry: bytes) -> bool:
        """Keep ``entry`` under the versions read before its query; False if Redis refuses."""
        link = self._link()
        command = ["SET", _entry(link, key), versions + entry, "EX", self._ttl]
        return not isinstance(self._ask(link, [command])[0], ResponseError)

    def forget(self, tags: Iterable[str]) -> None:
        """Invalidate all entries that carry one of ``tags``; all that there are, for many."""
        tags = fewer(tags)
        try:
            self._delete(tags)
        except CacheAway:
            # An old connection may have been closed under us: a new one tells the truth.
            if not self.breaker.closed:
                raise
            self._delete(tags)

    def ping(self) -> None:
        """Raise CacheAway unless Redis answers."""
        self._need(self._link(), ["PING"])

    def _delete(self, tags: Sequence[str]) -> None:
        link = self._link()
        self._need(link, ["DEL", *_tags(link, tags)])

    def _link(self) -> _Link:
        link: _Link | None = getattr(self._local, "link", None)
        if link is not None and link.epoch == self._epoch:
            return link
        return self._new_link()

    def _new_link(self) -> _Link:
        epoch, connection = self._epoch, self._connect()
        try:
            connection.connect()
            connection.send_command("INFO", "server")
            run_id = _run_id(connection.read_response())
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise self._away(_word(error)) from error
        self._local.link = link = _Link(connection, f"bookstall:{run_id}", epoch)
        return link

    def _need(self, link: _Link, command: Sequence[Any]) -> Any:
        """Return the answer to a command that Redis must not refuse."""
        answer = self._ask(link, [command])[0]
        if isinstance(answer, ResponseError):
            raise self._away("refused")
        return answer

    def _ask(self, link: _Link, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send ``commands`` at once and return their answers, refusals among them as values."""
        connection = link.connection
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            answers = [_answer(connection) for _ in commands]
        except (RedisTimeoutError, BusyLoadingError) as error:
            self._drop(connection)
            raise self._away(_word(error)) from error
        except (RedisError, OSError) as error:
            # Perhaps only this connection is gone; the next one decides about the breaker.
            self._drop(connection)
            raise CacheAway("reconnecting") from error
        self.breaker.succeeded()
        return answers

    def _drop(self, connection: ConnectionInterface) -> None:
        # The links of all threads may be dead, and one that was idle would find out too late:
        # in the one try that an open breaker lets through.
        self._epoch += 1
        self._local.link = None
        connection.disconnect()
        self.on_lost()

    def _away(self, reason: str) -> CacheAway:
        self.breaker.failed()
        self.on_lost()
        return CacheAway(reason)


def fewer(tags: Iterable[str]) -> list[str]:
    """Return each tag once, or EVERYTHING in place of too many."""
    distinct = sorted(set(tags))
    return distinct if len(distinct) <= MOST_TAGS else [EVERYTHING]


def _answer(connection: ConnectionInterface) -> Any:
    try:
        return connection.read_response()
    except ResponseError as refusal:
        return refusal


def _run_id(info: bytes) -> str:
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value.decode("ascii")[:16]
    raise ResponseError("this Redis does not tell its run_id")


def _entry(link: _Link, key: str) -> str:
    return f"{link.prefix}:e:{key}"


def _tags(link: _Link, tags: Sequence[str]) -> list[str]:
    return [f"{link.prefix}:t:{tag}" for tag in tags]


def _word(error: Exception) -> str:
    return "timeout" if isinstance(error, RedisTimeoutError) else "unreachable"
