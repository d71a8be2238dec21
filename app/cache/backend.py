"""The backend of Flask-Caching: ``app.extensions.cache`` and its ``memoize`` on our Redis.

The responses of the API do not pass here, see response_cache.py. What is stored here has no
tags: it is valid until it is deleted or its timeout ends.
"""

from datetime import timedelta
from typing import Any

import orjson
from flask import Flask
from flask_caching.backends.base import BaseCache
from redis.exceptions import ResponseError

from app.redis.client import Connection, RedisClient, RedisUnavailable, full_key

Timeout = int | timedelta | None
SCAN_COUNT = 1_000


class RedisCache(BaseCache):
    """Stores JSON values under ``bookstall:<run_id>:c:<key>``, so a restart begins empty.

    While Redis is unavailable a read is a miss and a write returns False; neither raises.
    """

    def __init__(self, client: RedisClient, default_timeout: int = 300) -> None:
        super().__init__(default_timeout)
        self._client = client

    @classmethod
    def factory(
        cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> "RedisCache":
        """Create the backend for Flask-Caching; CACHE_OPTIONS contains the client."""
        return cls(kwargs["client"], config["CACHE_DEFAULT_TIMEOUT"])

    def get(self, key: str) -> Any:
        """Return the value of ``key``; None if there is none."""
        stored = self._call("GET", key)
        if stored is None:
            return None
        try:
            return orjson.loads(stored)
        except orjson.JSONDecodeError:  # stored by another program
            return None

    def set(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        """Store ``value``; raise TypeError if JSON cannot represent it. A timeout of 0 is none."""
        return self._set(key, value, timeout)

    def add(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        """Do as ``set``, but return False if ``key`` has a value."""
        return self._set(key, value, timeout, "NX")

    def _set(self, key: str, value: Any, timeout: Timeout, *options: str) -> bool:
        seconds = self._normalize_timeout(timeout)
        expiry = ("EX", seconds) if seconds else ()
        return self._call("SET", key, _encode(value), *expiry, *options) is not None

    def has(self, key: str) -> bool:
        return bool(self._call("EXISTS", key))

    def delete(self, key: str) -> bool:
        return bool(self._call("DEL", key))

    def clear(self) -> bool:
        """Delete all values, but none of the response cache."""
        if not self._client.breaker.allow_request():
            return False
        try:
            self._client.with_retry(self._delete_all)
        except RedisUnavailable:
            return False
        return True

    def _delete_all(self) -> None:
        connection, cursor = self._client.connection(), b"0"
        pattern = _key(connection, "*")
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            cursor, keys = self._client.execute(connection, scan)
            if keys:
                self._client.execute(connection, ("DEL", *keys))
            if cursor == b"0":
                return

    def _call(self, name: str, key: str, *arguments: Any) -> Any:
        """Return the response of Redis; None if it refuses or is unavailable."""
        if not self._client.breaker.allow_request():
            return None

        def exchange() -> Any:
            connection = self._client.connection()
            command = (name, _key(connection, key), *arguments)
            return self._client.send(connection, [command])[0]

        try:
            response = self._client.with_retry(exchange)
        except RedisUnavailable:
            return None
        return None if isinstance(response, ResponseError) else response


def _key(connection: Connection, key: str) -> str:
    return full_key(connection.run_id, f"c:{key}")


def _encode(value: Any) -> bytes:
    """Encode ``value``; raise TypeError unless decoding returns an equal value.

    JSON, not pickle: a pickle in Redis could run code when it is loaded. orjson would
    turn a tuple, a UUID or NaN into something else without an error, hence the comparison.
    """
    try:
        encoded = orjson.dumps(value)
        if orjson.loads(encoded) == value:
            return encoded
    except orjson.JSONEncodeError:
        pass
    raise TypeError(
        "the cache stores None, bool, int, float, str, and lists and dicts of these with str "
        f"keys; {type(value).__name__} is, or contains, something else"
    )
