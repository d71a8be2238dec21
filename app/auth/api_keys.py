"""API keys, which authenticate a client and give it scopes.

A token is ``bks_<public>_<secret>``. The public part identifies the key in lists and logs. Of the
secret, 256 random bits, only the SHA-256 is stored. docs/access.md explains revocation.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import JSON, Engine, LargeBinary, String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import UtcDateTime, now
from app.extensions import Base
from app.http.route_options import View, set_options
from app.single_flight import SingleFlight

TOKEN = re.compile(r"bks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SECRET_BYTES = 32
PUBLIC_BYTES = 6
NAME_MAX = 100
CACHE_SECONDS = 0.9
"""How long a process trusts its copy of the keys: a revocation takes effect within 1 s."""
MISS_CACHE_SECONDS = 0.1
"""The same for a key that is not in the copy: it may have been created a moment ago."""


class ApiKey(Base):
    """An API key. Its scopes never change: create another key instead, and revoke this one."""

    __tablename__ = "api_key"
    # Ids are never reused, so that KEYS_STATE changes with every new key.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    public: Mapped[str] = mapped_column(String(2 * PUBLIC_BYTES), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


KEYS_STATE = select(func.count(), func.count(ApiKey.revoked_at), func.max(ApiKey.id))
"""Changes whenever a key is created, revoked or deleted."""
ACTIVE_KEYS = select(ApiKey.public, ApiKey.digest, ApiKey.scopes).where(ApiKey.revoked_at.is_(None))


class ActiveKey(NamedTuple):
    """A key that is not revoked."""

    public: str
    digest: bytes
    scopes: frozenset[str]


DUMMY_KEY = ActiveKey("", bytes(32), frozenset())
"""Compared with unknown tokens, so that they take as long as known ones."""


class ApiKeyCache:
    """The active keys, cached in one process.

    Clients can cause at most about ten short queries a second, whatever tokens they send.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._single_flight = SingleFlight()
        self._keys: dict[str, ActiveKey] = {}
        self._state: Any = None
        self._loaded_at = float("-inf")

    def find(self, token: str) -> ActiveKey | None:
        """Return the active key of ``token``, or None if the token is not valid."""
        parts = TOKEN.fullmatch(token)
        if parts is None:
            return None
        self._refresh(CACHE_SECONDS)
        if parts[1] not in self._keys:
            self._refresh(MISS_CACHE_SECONDS)
        key = self._keys.get(parts[1], DUMMY_KEY)
        matches = hmac.compare_digest(digest(parts[2]), key.digest)
        return key if matches and key is not DUMMY_KEY else None

    def _refresh(self, max_age: float) -> None:
        # A loop, because another thread may have begun the load that it joins too long ago.
        oldest = time.monotonic() - max_age
        while self._loaded_at < oldest:
            self._single_flight.do("keys", self._load)

    def _load(self) -> None:
        began = time.monotonic()
        with self._engine.connect() as connection:
            state = connection.execute(KEYS_STATE).one()
            if state != self._state:
                rows = connection.execute(ACTIVE_KEYS)
                active = (ActiveKey(row.public, row.digest, frozenset(row.scopes)) for row in rows)
                self._keys = {key.public: key for key in active}
                self._state = state
        self._loaded_at = began


def digest(secret: str) -> bytes:
    """Return the stored hash of a secret, which is too random to need a slow hash."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def new_token() -> tuple[str, str, bytes]:
    """Generate a token; return it, its public part and the digest of its secret."""
    public, secret = secrets.token_hex(PUBLIC_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    return f"bks_{public}_{secret}", public, digest(secret)


def scope(name: str) -> Callable[[View], View]:
    """Declare the scope that an API key needs to write through this view."""
    return lambda view: set_options(view, scope=name)


def checks_write_access_itself(view: View) -> View:
    """Let the guard count each POST to this view as a read: the view checks its writes itself."""
    return set_options(view, checks_write_access_itself=True)
