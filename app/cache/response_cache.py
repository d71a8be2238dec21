"""Responses in Redis, each valid only as long as its tags keep their versions.

Keys, below a prefix made of the server's ``run_id``:

    bookstall:<run_id>:t:<tag>    a random version of the tag, created by the first reader
    bookstall:<run_id>:e:<key>    an entry: a response, and versions of its tags (entry.py)

A tag is invalidated by deleting its version, which works on a full Redis too: the next reader
creates one that never existed before, so a slow reader cannot store an old response again.
A Redis that restarts has a new ``run_id`` and so starts empty, even if it loads old data.

The *guard tags* of a response are known before its query. An entry is valid while each of them
has the version that was read before the query. The *fine tags*, if there are any, are known only
after it. They are fewer reasons to change: an entry is also valid while each of them has the
version in the entry. Those are read after the query, together with those of the guard tags. If
a guard has changed by then, a write may have fallen between the query and its version, and the
response is not stored.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from redis.exceptions import ResponseError

from app.cache.entry import VERSION_BYTES, Entry, decode
from app.cache.tags import ALL, WRITES, collapse_tags
from app.http.response import BufferedResponse
from app.redis.client import Command, Connection, RedisClient, full_key

Versions = bytes | None
"""The versions of some tags, one after the other; None if one is missing."""


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A response that was valid when it was read, and how to tell whether it still is.

    It is valid until ``expires_at``, while all guard tags have ``guard_versions`` or all fine tags
    have ``fine_versions``. Both end with the tag ALL, unless there are no fine tags.
    """

    response: BufferedResponse
    guard_tags: tuple[str, ...]
    guard_versions: Versions
    """None if Redis is full: a guard has no version and cannot get one."""
    fine_tags: tuple[str, ...]
    fine_versions: bytes
    expires_at: float
    """By ``time.monotonic()``, not later than the entry in Redis ends."""
    run_id: str
    """The run of Redis that the versions belong to."""

    def recheck(self, versions: Mapping[str, Versions]) -> "CachedResponse | None":
        """Return the response as valid under these values of Redis; None if it is not.

        Without the versions of the fine tags, only those of the guard tags can show it.
        """
        guard_versions = _joined([versions.get(key) for key in tag_keys(self.guard_tags)])
        if guard_versions is not None and guard_versions == self.guard_versions:
            return self
        if self.fine_tags and self.fine_versions == _joined(
            [versions.get(key) for key in tag_keys(self.fine_tags)]
        ):
            return replace(self, guard_versions=guard_versions or self.guard_versions)
        return None


class ResponseCache:
    """Stores responses in one Redis; every call ends in time or raises RedisUnavailable."""

    def __init__(self, client: RedisClient, ttl: int) -> None:
        self.client = client
        self.breaker = client.breaker
        self.ttl = ttl

    def get(self, key: str, tags: Sequence[str]) -> tuple[Versions, CachedResponse | None]:
        """Return the versions of the guard tags, and the response if a valid one is stored.

        The versions are None if Redis is full: a tag has no version and cannot get one.
        """
        began, connection, guards = time.monotonic(), self.client.connection(), (*tags, ALL)
        entry_key = _entry_key(connection, key)
        # In this order, a new entry cannot give its longer life to the old one.
        commands = [["PTTL", entry_key], ["MGET", entry_key, *_tag_keys(connection, guards)]]
        milliseconds, values = map(self.client.accepted, self.client.send(connection, commands))
        stored, *found = values
        versions = _joined(found)
        entry = None if stored is None else decode(stored, len(guards))
        is_valid = entry is not None and entry.guard_versions == versions
        if not is_valid:
            fine_tags = entry.fine_tags if entry else ()
            if fine_tags or versions is None:
                missing = [tag for tag, version in zip(guards, found, strict=True) if not version]
                found = self._create_and_get(connection, missing, [*guards, *fine_tags])
                versions = _joined(found[: len(guards)])
            if entry is not None and fine_tags:
                is_valid = entry.fine_versions == _joined(found[len(guards) :])
        if entry is None or not is_valid:
            return versions, None
        return versions, CachedResponse(
            response=entry.response,
            guard_tags=guards,
            guard_versions=versions,
            fine_tags=entry.fine_tags,
            fine_versions=entry.fine_versions,
            expires_at=began + milliseconds / 1000,
            run_id=connection.run_id,
        )

    def _create_and_get(
        self, connection: Connection, missing: Sequence[str], tags: Sequence[str]
    ) -> list[Versions]:
        """Create the versions of ``missing`` tags, if Redis has room; return those of ``tags``."""
        commands: list[Command] = [self.creation(key) for key in _tag_keys(connection, missing)]
        commands.append(["MGET", *_tag_keys(connection, tags)])
        versions: list[Versions] = self.client.accepted(self.client.send(connection, commands)[-1])
        return versions

    def creation(self, key: str) -> Command:
        """Return the command that creates the version of a tag unless it has one."""
        # Twice the lifetime of an entry: a version that expires too early only costs a miss.
        return ("SET", key, os.urandom(VERSION_BYTES), "EX", 2 * self.ttl, "NX")

    def set(
        self,
        key: str,
        tags: Sequence[str],
        versions: bytes,
        response: BufferedResponse,
        fine_tags: Sequence[str] = (),
    ) -> str:
        """Store a response under the ``versions`` of its guard tags read before its query.

        Return a parameter of Cache-Status: ``stored``, or why it is not.
        """
        connection, entry = self.client.connection(), Entry(response, versions)
        if fine_tags:
            guards, names = (*tags, ALL), (*fine_tags, ALL)
            found = self._get_or_create(connection, [*guards, *names])
            if not is_unchanged(versions, _joined(found[: len(guards)])):
                return "detail=concurrent-write"
            fine_versions = _joined(found[len(guards) :])
            if fine_versions is None:
                return "detail=redis-full"
            entry = Entry(response, versions, names, fine_versions)
        expiry: tuple[Any, ...] = ("EX", self.ttl)
        if response.expires_at < time.monotonic() + self.ttl:
            expiry = ("PXAT", self._redis_time(connection, response.expires_at))
        command = ["SET", _entry_key(connection, key), entry.encode(), *expiry]
        refused = isinstance(self.client.send(connection, [command])[0], ResponseError)
        return "detail=redis-full" if refused else "stored"

    def _redis_time(self, connection: Connection, until: float) -> int:
        """Return the moment ``until`` of ``time.monotonic()`` as milliseconds of Redis, or less.

        A duration would begin when Redis executes the command. If it was suspended, that is later
        than any timeout.
        """
        found = self.client.accepted(self.client.send(connection, [["TIME"]])[0])
        seconds, microseconds = map(int, found)
        left = until - time.monotonic()
        return max(1, int((seconds + left) * 1000 + microseconds / 1000))

    def _get_or_create(self, connection: Connection, tags: Sequence[str]) -> list[Versions]:
        found = self._create_and_get(connection, (), tags)
        missing = [tag for tag, version in zip(tags, found, strict=True) if not version]
        return self._create_and_get(connection, missing, tags) if missing else found

    def invalidate(self, tags: Iterable[str]) -> str:
        """Invalidate all entries that carry one of ``tags``; return the run of Redis with them."""
        distinct = [*collapse_tags(tags), WRITES]

        def delete() -> str:
            connection = self.client.connection()
            # Not _tag_keys, which would remember the keys of thousands of tags.
            keys = [full_key(connection.run_id, f"t:{tag}") for tag in distinct]
            self.client.execute(connection, ["DEL", *keys])
            return connection.run_id

        run_id: str = self.client.with_retry(delete)
        return run_id


def is_unchanged(before_query: bytes, after_query: Versions) -> bool:
    """Return whether the guard tags have the same versions as before the query."""
    return before_query == after_query


def _joined(versions: Sequence[Versions]) -> Versions:
    return None if None in versions else b"".join(filter(None, versions))


def _entry_key(connection: Connection, key: str) -> str:
    return full_key(connection.run_id, f"e:{key}")


def _tag_keys(connection: Connection, tags: Sequence[str]) -> list[str]:
    return [full_key(connection.run_id, key) for key in tag_keys(tuple(tags))]


@lru_cache(maxsize=1_024)
def tag_keys(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of the versions of ``tags``, within the run of Redis."""
    return tuple(f"t:{tag}" for tag in tags)
