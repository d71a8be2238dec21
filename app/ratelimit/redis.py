"""Tokens counted in Redis, for all processes together."""

import hashlib
import time
from math import ceil
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from app.ratelimit.window import SHARE, Grant, Unspent, Window
from app.redis.circuit_breaker import Breaker
from app.redis.client import RedisAway, RedisLink

# A hash for each client, a field for each slice in which it took tokens, all on Redis's own
# clock. It is as large as the slices in use, 62 at most, and goes when all of them count no more.
SCRIPT = b"""
local key, quota, width, counted = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ask, back_slice, back = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local slice = math.floor(now / width)
local held, used, oldest = redis.call('HGETALL', key), 0, slice
for at = 1, #held, 2 do
    local tokens = tonumber(held[at + 1])
    if held[at] == back_slice and back > 0 then
        tokens = math.max(0, tokens - back)
        redis.call('HSET', key, held[at], tokens)
    end
    local of = tonumber(held[at])
    if of <= slice - counted or tokens == 0 then
        redis.call('HDEL', key, held[at])
    else
        used = used + tokens
        oldest = math.min(oldest, of)
    end
end
local free, size = quota - used, 0
if free > 0 then
    size = math.min(ask, math.max(1, math.floor(free / tonumber(ARGV[7]))))
    redis.call('HINCRBY', key, string.format('%.0f', slice), size)
    redis.call('PEXPIRE', key, math.ceil((counted + 1) * width / 1000))
end
return {size, math.max(0, free - size), slice, (oldest + counted) * width - now}
"""
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()


class RedisStore:
    """Takes tokens by one atomic script, or raises RedisAway."""

    def __init__(self, link: RedisLink, kind: str, window: Window) -> None:
        self._link = link
        # A Redis that is full still serves the cache: its refusals are no reason to leave it.
        self._refusals = Breaker()
        self._window = window
        self._prefix = f"bookstall:limit:{kind}:{window.seconds}:"
        self._width = ceil(window.slice * 1_000_000)

    def take(self, client: str, ask: int, back: Unspent | None) -> Grant:
        """Count up to ``ask`` tokens for ``client``, after ``back`` is counted off."""
        if not (self._refusals.allows() and self._link.breaker.allows()):
            raise RedisAway("away")
        unspent = back or Unspent(0, 0)
        window = self._window
        words = (window.quota, self._width, window.counted, ask, *unspent, SHARE)
        began = time.monotonic()
        size, rest, at, wait = self._link.insist(lambda: self._run(self._prefix + client, words))
        if time.monotonic() - began > window.lag:
            raise RedisAway("timeout")  # too late for tokens that are counted by the clock
        return Grant(size, rest, at, wait / 1_000_000)

    def _run(self, key: str, words: tuple[Any, ...]) -> Any:
        link = self._link.link()
        answer = self._link.ask(link, [["EVALSHA", DIGEST, 1, key, *words]])[0]
        if isinstance(answer, NoScriptError):
            answer = self._link.ask(link, [["EVAL", SCRIPT, 1, key, *words]])[0]
        if isinstance(answer, ResponseError):
            self._refusals.failed()
            raise RedisAway("refused")
        self._refusals.succeeded()
        return answer
