"""Token counts in Redis, shared by all processes."""

import hashlib
import time
from importlib.resources import files
from math import ceil
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from app.ratelimit.window import MAX_FRACTION, Grant, UnusedTokens, Window
from app.redis.circuit_breaker import CircuitBreaker
from app.redis.client import Command, RedisClient, RedisUnavailable

SCRIPT = files("app.ratelimit").joinpath("take_tokens.lua").read_bytes()
SCRIPT_SHA1 = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()


class RedisStore:
    """Takes tokens with one atomic script, or raises RedisUnavailable."""

    def __init__(self, redis: RedisClient, kind: str, window: Window) -> None:
        self._redis = redis
        # A breaker of its own: a full Redis refuses the script but still serves the cache.
        self._breaker = CircuitBreaker()
        self._window = window
        self._prefix = f"bookstall:limit:{kind}:{window.seconds}:"
        self._slice_microseconds = ceil(window.slice_seconds * 1_000_000)

    @property
    def is_usable(self) -> bool:
        """Whether Redis has responded to the last command, and run the last script."""
        return self._breaker.closed and self._redis.breaker.closed

    def command(
        self, client: str, requested: int, unused: UnusedTokens | None, minimum: int = 1
    ) -> Command:
        """Return the command that ``take`` sends; Redis knows the script by its hash."""
        window = self._window
        settings = (window.quota, self._slice_microseconds, window.counted_slices)
        arguments = (*settings, requested, MAX_FRACTION, *(unused or UnusedTokens(0, 0)), minimum)
        return ("EVALSHA", SCRIPT_SHA1, 1, self._prefix + client, *arguments)

    def grant(self, response: Any, began: float) -> Grant:
        """Read the response to the command that was sent at ``began``."""
        granted, remaining, current, resets_after = response
        if time.monotonic() - began > self._window.max_delay:
            raise RedisUnavailable("timeout")  # the window may no longer cover these tokens
        return Grant(granted, remaining, current, resets_after / 1_000_000)

    def take(
        self, client: str, requested: int, unused: UnusedTokens | None, minimum: int = 1
    ) -> Grant:
        """Return ``unused`` tokens, then count tokens for ``client``: ``minimum`` to ``requested``.

        If fewer are free, none is counted, and the grant tells when ``minimum`` will be.
        """
        if not (self._breaker.allow_request() and self._redis.breaker.allow_request()):
            raise RedisUnavailable("unavailable")
        command = self.command(client, requested, unused, minimum)
        began = time.monotonic()
        return self.grant(self._redis.with_retry(lambda: self._run(command)), began)

    def _run(self, command: Command) -> Any:
        connection = self._redis.connection()
        response = self._redis.send(connection, [command])[0]
        if isinstance(response, NoScriptError):
            response = self._redis.send(connection, [("EVAL", SCRIPT, *command[2:])])[0]
        if isinstance(response, ResponseError):
            self._breaker.record_failure()
            raise RedisUnavailable("refused")
        self._breaker.record_success()
        return response
