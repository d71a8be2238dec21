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
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flask import Flask
from flask_caching.backends.base import BaseCache
from redis.exceptions import ResponseError

from app.redis.client import Command, Link, RedisAway, RedisLink

EVERYTHING = "*"
"""A tag that every entry has."""
MOST_TAGS = 500
"""More than that are not deleted one by one: it would take longer than a time-out."""
VERSION_BYTES = 8
CacheAway = RedisAway


class Lookup(NamedTuple):
    """What a look found: the tags' present versions, and the answer if a valid one is there."""

    versions: bytes | None
    entry: bytes | None


class RedisCache(BaseCache):
    """Keeps entries in one Redis; every exchange ends in time or raises CacheAway."""

    def __init__(self, url: str, ttl: int) -> None:
        super().__init__(default_timeout=ttl)
        self.server = RedisLink(url)
        self.breaker = self.server.breaker
        self._ttl = ttl

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
        link = self.server.link()
        names = _tags(link, [*tags, EVERYTHING])
        entry, *found = self.server.need(link, ["MGET", _entry(link, key), *names])
        if None in found:
            return Lookup(self._make_versions(link, names), None)
        versions = b"".join(found)
        if entry is not None and entry.startswith(versions):
            return Lookup(versions, entry[len(versions) :])
        return Lookup(versions, None)

    def _make_versions(self, link: Link, names: Sequence[str]) -> bytes | None:
        """Give versions to the tags that have none, and return all; None if Redis is full."""
        # Twice the life of an entry: a version that expires too early costs only a miss.
        expiry = 2 * self._ttl
        commands = [["SET", name, os.urandom(VERSION_BYTES), "EX", expiry, "NX"] for name in names]
        found = self.server.ask(link, [*commands, ["MGET", *names]])[-1]
        return None if None in found else b"".join(found)

    def store(self, key: str, versions: bytes, entry: bytes) -> bool:
        """Keep ``entry`` under the versions read before its query; False if Redis refuses."""
        link = self.server.link()
        command = ["SET", _entry(link, key), versions + entry, "EX", self._ttl]
        return not isinstance(self.server.ask(link, [command])[0], ResponseError)

    def forget(self, tags: Iterable[str], also: Sequence[Command] = ()) -> None:
        """Invalidate all entries that carry one of ``tags``; all that there are, for many.

        The commands ``also`` go along in the same round trip; Redis may refuse them.
        """
        distinct = fewer(tags)
        self.server.insist(lambda: self._delete(distinct, also))

    def prove(self) -> None:
        """Raise CacheAway unless Redis answers, as the master that it was."""
        self.server.prove()

    def _delete(self, tags: Sequence[str], also: Sequence[Command]) -> None:
        link = self.server.link()
        self.server.need(link, ["DEL", *_tags(link, tags)], also)


def fewer(tags: Iterable[str]) -> list[str]:
    """Return each tag once, or EVERYTHING in place of too many."""
    distinct = sorted(set(tags))
    return distinct if len(distinct) <= MOST_TAGS else [EVERYTHING]


def _entry(link: Link, key: str) -> str:
    return f"bookstall:{link.run_id}:e:{key}"


def _tags(link: Link, tags: Sequence[str]) -> list[str]:
    return [f"bookstall:{link.run_id}:t:{tag}" for tag in tags]
