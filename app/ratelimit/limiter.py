"""How often each client may call: tokens, taken from the common count in advance.

A process takes a lease of tokens for a client, good for a second at most, and spends it without
asking anybody. How large leases are and why the quota holds: docs/access.md, "Limits".
"""

import time
from collections.abc import Sequence
from itertools import count
from math import ceil
from threading import Lock
from typing import NamedTuple

from flask import Flask

from app.cache.tags import read_through
from app.config import Rate, Settings
from app.ratelimit.memory import MemoryStore
from app.ratelimit.redis import RedisStore
from app.ratelimit.window import Grant, Store, Unspent, Window
from app.redis.client import RedisAway

FIRST_ASK = 4
ASK_MOST = 1_000
LEASES_MOST = 10_000
LOCKS = 64

Headers = Sequence[tuple[str, str]]


class Admission(NamedTuple):
    """What was decided, and what the client is told."""

    headers: Headers
    retry_after: int | None = None
    """Seconds to wait, for a request that was not admitted."""


class Lease:
    """Tokens that are counted already; any thread may spend one without a lock."""

    __slots__ = ("_spent", "ask", "frees_at", "grant", "store", "until")

    def __init__(self, store: Store, grant: Grant, ask: int, began: float, life: float) -> None:
        self.store = store
        self.grant = grant
        self.ask = ask
        self.frees_at = began + grant.wait
        # What says that nothing is left must not outlast the moment at which something is.
        self.until = began + (life if grant.size else min(life, grant.wait))
        self._spent = count()

    def spend(self) -> int | None:
        """Spend a token and return how many are left, here and in the store; None if none was."""
        # next() of a count is one step of the interpreter: no two threads get the same number.
        left = self.grant.size - 1 - next(self._spent)
        return self.grant.rest + left if left >= 0 else None

    def close(self) -> Unspent:
        """Take all tokens that are left, so that nobody spends what is given back."""
        unspent = 0
        while self.spend() is not None:
            unspent += 1
        return Unspent(self.grant.slice, unspent)


class Limiter:
    """Admits requests of one kind."""

    def __init__(self, kind: str, window: Window, stores: Sequence[Store]) -> None:
        self._kind = kind
        self._window = window
        self._stores = stores
        self._leases: dict[str, Lease] = {}
        self._shelf = Lock()
        # For a client at a time, so that threads which need a new lease take one together.
        self._locks = [Lock() for _ in range(LOCKS)]
        self._policy = ("RateLimit-Policy", f'"{kind}";q={window.quota};w={window.seconds}')

    def admit(self, client: str) -> Admission:
        """Spend a token of ``client``, or tell when to come back."""
        admission = self._by_lease(self._leases.get(client))
        if admission is not None:
            return admission
        with self._locks[hash(client) % LOCKS]:
            lease = self._leases.get(client)
            return self._by_lease(lease) or self._by_new_lease(client, lease)

    def _by_lease(self, lease: Lease | None) -> Admission | None:
        if lease is None or time.monotonic() >= lease.until:
            return None
        left = lease.spend()
        if left is None and lease.grant.size:
            return None
        return self._told(lease, left)

    def _by_new_lease(self, client: str, old: Lease | None) -> Admission:
        lease = self._take(client, old)
        left = lease.spend()  # before any other thread can
        with self._shelf:
            self._leases.pop(client, None)  # the newest stands last, the oldest goes first
            self._leases[client] = lease
            if len(self._leases) > LEASES_MOST:
                del self._leases[next(iter(self._leases))]
        return self._told(lease, left)

    def _take(self, client: str, old: Lease | None) -> Lease:
        ask, unspent = FIRST_ASK, None
        if old is not None:
            in_time = time.monotonic() < old.until
            unspent = old.close()
            spent = old.grant.size - unspent.size
            ask = min(ASK_MOST, 2 * old.ask) if in_time else max(FIRST_ASK, spent)
        for store in self._stores:
            back = unspent if old is not None and old.store is store else None
            began = time.monotonic()
            try:
                grant = store.take(client, ask, back)
            except RedisAway:
                continue
            return Lease(store, grant, ask, began, self._window.lease)
        raise RuntimeError("the last store is never away")

    def _told(self, lease: Lease, left: int | None) -> Admission:
        seconds = lease.frees_at - time.monotonic()
        if left is None:
            wait = max(1, ceil(seconds))
            return Admission(self._headers(0, wait), wait)
        return Admission(self._headers(left, min(self._window.seconds, int(seconds) + 1)))

    def _headers(self, left: int, seconds: int) -> Headers:
        return ("RateLimit", f'"{self._kind}";r={left};t={seconds}'), self._policy


class Limits(NamedTuple):
    """The limiters of an app; None where there is no limit."""

    read: Limiter | None
    write: Limiter | None


def init_app(app: Flask, settings: Settings) -> None:
    """Give ``app`` its limiters; its cache must be there."""
    app.extensions["bookstall_limits"] = Limits(
        _limiter(app, settings, "read", settings.rate_limit_read),
        _limiter(app, settings, "write", settings.rate_limit_write),
    )


def _limiter(app: Flask, settings: Settings, kind: str, rate: Rate | None) -> Limiter | None:
    if rate is None:
        return None
    window = Window(rate)
    memory = MemoryStore(window, settings.web_concurrency)
    cache = read_through(app)
    if cache is None:
        return Limiter(kind, window, [memory])
    return Limiter(kind, window, [RedisStore(cache.redis.server, kind, window), memory])
