"""The rate limiter: each process takes tokens in advance, so that most requests use no store.

A process holds a lease of tokens for a client, for a second at most. How large a lease is and why
the quota is never exceeded: docs/access.md, "Limits".
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from math import ceil
from threading import Lock
from typing import Any, NamedTuple

from app import run_folder
from app.config import Rate, Settings
from app.ratelimit.memory import MemoryStore
from app.ratelimit.redis import RedisStore
from app.ratelimit.window import Grant, UnusedTokens, Window
from app.redis.client import Command, RedisClient, RedisUnavailable

INITIAL_BATCH = 4
MAX_BATCH = 1_000
MAX_LEASES = 10_000
LOCK_COUNT = 64

Headers = Sequence[tuple[str, str]]
TokenStore = MemoryStore | RedisStore


class Admission(NamedTuple):
    """The decision about one request, and the response headers that report it."""

    headers: Headers
    retry_after: int | None = None
    """Seconds to wait if the request is rejected."""


class TokenLease:
    """Tokens that the store has counted already; any thread uses them without a lock."""

    __slots__ = ("_consumed", "batch", "expires_at", "grant", "resets_at", "store")

    def __init__(
        self, store: TokenStore, grant: Grant, batch: int, began: float, seconds: float
    ) -> None:
        self.store = store
        self.grant = grant
        self.batch = batch
        # From now on, not from ``began``: the store counted in between, and no retry may be early.
        self.resets_at = time.monotonic() + grant.resets_after
        # An empty lease rejects requests: it must expire before the store has tokens again.
        self.expires_at = began + (seconds if grant.tokens else min(seconds, grant.resets_after))
        self._consumed = count()

    def consume(self) -> int | None:
        """Use one token; return how many are left here and in the store, or None if it is empty."""
        # next() of a count is atomic under the GIL: no two threads get the same number.
        left = self.grant.tokens - 1 - next(self._consumed)
        return self.grant.remaining + left if left >= 0 else None

    def drain(self) -> UnusedTokens:
        """Take all tokens that are left, so that no thread uses a token that is returned."""
        unused = 0
        while self.consume() is not None:
            unused += 1
        return UnusedTokens(self.grant.slice, unused)


class LeaseRequest(NamedTuple):
    """A command that takes a lease, for a caller that sends it to Redis with others."""

    client: str
    batch: int
    command: Command
    began: float


def _next_batch(old: TokenLease | None) -> tuple[int, UnusedTokens | None]:
    """Return how many tokens to take after ``old``, and those of it that can be returned."""
    if old is None:
        return INITIAL_BATCH, None
    used_up_early = time.monotonic() < old.expires_at
    unused = old.drain()
    used = old.grant.tokens - unused.tokens
    batch = min(MAX_BATCH, 2 * old.batch) if used_up_early else max(INITIAL_BATCH, used)
    return batch, unused


class Limiter:
    """Limits requests of one kind, such as reads, for each client."""

    def __init__(self, kind: str, window: Window, stores: Sequence[TokenStore]) -> None:
        self._kind = kind
        self.quota = window.quota
        self._window = window
        self._stores = stores
        self._redis = stores[0] if isinstance(stores[0], RedisStore) else None
        self._leases: dict[str, TokenLease] = {}
        self._leases_lock = Lock()
        # Threads that need a new lease for the same client take one together.
        self._client_locks = [Lock() for _ in range(LOCK_COUNT)]
        self._policy = ("RateLimit-Policy", f'"{kind}";q={window.quota};w={window.seconds}')

    def admit(self, client: str) -> Admission:
        """Use a token of ``client``, or return after how many seconds to retry."""
        admission = self._admit_from(self._leases.get(client))
        if admission is not None:
            return admission
        with self._client_locks[hash(client) % LOCK_COUNT]:
            lease = self._leases.get(client)
            return self._admit_from(lease) or self._admit_from_new_lease(client, lease)

    def admit_at_once(self, client: str, tokens: int) -> Admission:
        """Use ``tokens`` of ``client``, or none of them: for a request that costs as many."""
        with self._client_locks[hash(client) % LOCK_COUNT]:
            lease = self._take_lease(client, self._leases.get(client), tokens)
            return self._admission(lease, lease.grant.remaining if lease.grant.tokens else None)

    def try_admit(self, client: str) -> Admission | None:
        """Do as ``admit``, but do not wait for Redis; return None if only ``admit`` can decide."""
        admission = self._admit_from(self._leases.get(client))
        if admission is None and self._redis is None:
            admission = self.admit(client)
        return admission

    def request_lease(self, client: str) -> LeaseRequest | None:
        """Prepare a lease that the caller takes from Redis; None if ``admit`` has to decide."""
        old = self._leases.get(client)
        if old is not None and time.monotonic() < old.expires_at:
            return None
        if self._redis is None or not self._redis.is_usable:
            return None
        batch, unused = _next_batch(old)
        to_return = unused if old is not None and old.store is self._redis else None
        command = self._redis.command(client, batch, to_return)
        return LeaseRequest(client, batch, command, time.monotonic())

    def accept_lease(self, request: LeaseRequest, response: Any) -> None:
        """Store the lease that Redis has granted; ignore what is no grant."""
        if self._redis is not None and not isinstance(response, Exception):
            with suppress(RedisUnavailable):
                grant = self._redis.grant(response, request.began)
                seconds = self._window.lease_seconds
                lease = TokenLease(self._redis, grant, request.batch, request.began, seconds)
                self._store_lease(request.client, lease)

    def _admit_from(self, lease: TokenLease | None) -> Admission | None:
        if lease is None or time.monotonic() >= lease.expires_at:
            return None
        left = lease.consume()
        if left is None and lease.grant.tokens:
            return None
        return self._admission(lease, left)

    def _admit_from_new_lease(self, client: str, old: TokenLease | None) -> Admission:
        lease = self._take_lease(client, old)
        left = lease.consume()  # before another thread can take the last token
        self._store_lease(client, lease)
        return self._admission(lease, left)

    def _store_lease(self, client: str, lease: TokenLease) -> None:
        with self._leases_lock:
            self._leases.pop(client, None)  # in order of age: the oldest lease is evicted first
            self._leases[client] = lease
            if len(self._leases) > MAX_LEASES:
                del self._leases[next(iter(self._leases))]

    def _take_lease(
        self, client: str, old: TokenLease | None, at_once: int | None = None
    ) -> TokenLease:
        batch, unused = _next_batch(old)
        if at_once is not None:
            batch = at_once
        for store in self._stores:
            to_return = unused if old is not None and old.store is store else None
            began = time.monotonic()
            try:
                grant = store.take(client, batch, to_return, at_once or 1)
            except RedisUnavailable:
                continue
            return TokenLease(store, grant, batch, began, self._window.lease_seconds)
        raise RuntimeError("the last store is always available")

    def _admission(self, lease: TokenLease, left: int | None) -> Admission:
        seconds = lease.resets_at - time.monotonic()
        retry_after = max(1, ceil(seconds)) if left is None else None
        reset = retry_after or min(self._window.seconds, int(seconds) + 1)
        header = ("RateLimit", f'"{self._kind}";r={left or 0};t={reset}')
        return Admission((header, self._policy), retry_after)


class RateLimits(NamedTuple):
    """The limiters of an application; None for an unlimited kind."""

    read: Limiter | None
    write: Limiter | None


def make_rate_limits(settings: Settings, redis: RedisClient | None) -> RateLimits:
    """Make the limiters that ``settings`` require."""
    folder = run_folder.current()

    def limiter(kind: str, rate: Rate | None) -> Limiter | None:
        if rate is None:
            return None
        window = Window(rate)
        memory = MemoryStore(window, folder / f"rate-limit-{kind}" if folder else None)
        shared = [] if redis is None else [RedisStore(redis, kind, window)]
        return Limiter(kind, window, [*shared, memory])

    return RateLimits(
        limiter("read", settings.rate_limit_read), limiter("write", settings.rate_limit_write)
    )
