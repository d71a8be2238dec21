"""Responses in Redis, each valid only as long as its tags keep their versions.

Keys, below a prefix made of the server's ``run_id``:

    bookstall:<run_id>:t:<tag>    a random version of the tag, created by the first reader
    bookstall:<run_id>:e:<key>    an entry: the versions of its tags as read before its query,
                                  then the response

An entry is valid only while each of its tags has the version that the entry contains. A tag is
invalidated by deleting its version, which works on a full Redis too: the next reader creates one
that never existed before, so a slow reader cannot store an old response again.
A Redis that restarts has a new ``run_id`` and so starts empty, even if it loads old data.
"""

import os
from collections.abc import Iterable, Sequence

from redis.exceptions import ResponseError

from app.cache.tags import ALL, collapse_tags
from app.http.response import OK, BufferedResponse
from app.redis.client import Command, Connection, RedisClient

VERSION_BYTES = 8
CACHED_HEADERS = ("ETag", "Content-Encoding", "Vary", "Link")
"""What an entry stores besides the body. All other headers of a response follow from it."""


class ResponseCache:
    """Stores responses in one Redis; every call ends in time or raises RedisUnavailable."""

    def __init__(self, client: RedisClient, ttl: int) -> None:
        self.client = client
        self.breaker = client.breaker
        self._ttl = ttl

    def get(self, key: str, tags: Sequence[str]) -> tuple[bytes | None, BufferedResponse | None]:
        """Return the versions of the tags, and the response if a valid one is stored.

        The versions are None if Redis is full: a tag has no version and cannot get one.
        """
        connection = self.client.connection()
        tag_keys = _tag_keys(connection, [*tags, ALL])
        command = ["MGET", _entry_key(connection, key), *tag_keys]
        entry, *found = self.client.execute(connection, command)
        if None in found:
            return self._create_versions(connection, tag_keys), None
        versions = b"".join(found)
        if entry is not None and entry.startswith(versions):
            return versions, _unpack(entry[len(versions) :])
        return versions, None

    def _create_versions(self, connection: Connection, keys: Sequence[str]) -> bytes | None:
        """Create the versions of tags that have none and return all; None if Redis is full."""
        # Twice the lifetime of an entry: a version that expires too early only costs a miss.
        expiry = 2 * self._ttl
        commands = [["SET", key, os.urandom(VERSION_BYTES), "EX", expiry, "NX"] for key in keys]
        found = self.client.send(connection, [*commands, ["MGET", *keys]])[-1]
        return None if None in found else b"".join(found)

    def set(self, key: str, versions: bytes, response: BufferedResponse) -> bool:
        """Store a response under the versions read before its query; False if Redis refuses."""
        connection = self.client.connection()
        value = versions + _pack(response)
        command = ["SET", _entry_key(connection, key), value, "EX", self._ttl]
        return not isinstance(self.client.send(connection, [command])[0], ResponseError)

    def invalidate(self, tags: Iterable[str], also: Sequence[Command] = ()) -> None:
        """Invalidate all entries that carry one of ``tags``.

        The commands ``also`` are sent in the same round trip; Redis may refuse them.
        """
        distinct = collapse_tags(tags)

        def delete() -> None:
            connection = self.client.connection()
            self.client.execute(connection, ["DEL", *_tag_keys(connection, distinct)], also)

        self.client.with_retry(delete)


def _entry_key(connection: Connection, key: str) -> str:
    return f"bookstall:{connection.run_id}:e:{key}"


def _tag_keys(connection: Connection, tags: Sequence[str]) -> list[str]:
    return [f"bookstall:{connection.run_id}:t:{tag}" for tag in tags]


def _pack(response: BufferedResponse) -> bytes:
    """Encode a JSON response as plain bytes: no pickle, whose loading can run code."""
    headers = [(response.get_header(name) or "").encode("latin-1") for name in CACHED_HEADERS]
    return b"\n".join([*headers, response.body])


def _unpack(packed: bytes) -> BufferedResponse | None:
    """Decode what ``_pack`` encoded; return None for what another program stored."""
    *values, body = packed.split(b"\n", len(CACHED_HEADERS))
    if len(values) != len(CACHED_HEADERS):
        return None
    pairs = zip(CACHED_HEADERS, values, strict=True)
    headers = [(name, value.decode("latin-1")) for name, value in pairs if value]
    headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return BufferedResponse(OK, headers, body)
