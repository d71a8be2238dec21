"""API keys: what a caller proves its name with, and what that name may do.

A token is ``bks_<public>_<secret>``. The public part names the key in lists and logs; of the
secret, 256 random bits, only the SHA-256 is kept. How revocations are seen: docs/access.md.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy import JSON, Engine, LargeBinary, String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import UtcDateTime, now
from app.extensions import Base
from app.http.route_options import View, options_of, set_options
from app.single_flight import SingleFlight

TOKEN = re.compile(r"bks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SECRET_BYTES = 32
PUBLIC_BYTES = 6
NAME_MAX = 100
CACHE_SECONDS = 0.9
"""For so long a process believes what it knows of the keys: a revocation is seen within 1 s."""
LOOK_AGAIN_SECONDS = 0.1
"""So soon may it look for a key that it does not know: perhaps that was made just now."""


class ApiKey(Base):
    """A key. Its scopes never change: make another key, and revoke this one."""

    __tablename__ = "api_key"
    # An id that is never given twice: State below tells by it that a key was added.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - as SQLAlchemy declares it

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    public: Mapped[str] = mapped_column(String(2 * PUBLIC_BYTES), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


STATE = select(func.count(), func.count(ApiKey.revoked_at), func.max(ApiKey.id))
"""Changes whenever a key is made, revoked or removed."""
LIVE = select(ApiKey.public, ApiKey.digest, ApiKey.scopes).where(ApiKey.revoked_at.is_(None))


class Key(NamedTuple):
    """A key that is good now."""

    public: str
    digest: bytes
    scopes: frozenset[str]


DUMMY_KEY = Key("", bytes(32), frozenset())


class ApiKeyCache:
    """All good keys, as one process knows them.

    Whatever is presented, and however often, costs the database ten short queries a second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flights = SingleFlight()
        self._keys: dict[str, Key] = {}
        self._state: Any = None
        self._read_at = float("-inf")

    def find(self, token: str) -> Key | None:
        """Return the key of ``token``; None for a wrong, revoked or malformed one."""
        parts = TOKEN.fullmatch(token)
        if parts is None:
            return None
        self._read_within(CACHE_SECONDS)
        if parts[1] not in self._keys:
            self._read_within(LOOK_AGAIN_SECONDS)
        key = self._keys.get(parts[1], DUMMY_KEY)
        matches = hmac.compare_digest(digest_of(parts[2]), key.digest)
        return key if matches and key is not DUMMY_KEY else None

    def _read_within(self, seconds: float) -> None:
        # A read that another thread began too long ago does not count: hence the loop.
        oldest = time.monotonic() - seconds
        while self._read_at < oldest:
            self._flights.do("keys", self._read)

    def _read(self) -> None:
        began = time.monotonic()
        with self._engine.connect() as connection:
            state = connection.execute(STATE).one()
            if state != self._state:
                found = connection.execute(LIVE).all()
                self._keys = {k.public: Key(k.public, k.digest, frozenset(k.scopes)) for k in found}
                self._state = state
        self._read_at = began


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret: one so random needs no slow hash."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def new_token() -> tuple[str, str, bytes]:
    """Make a token; return it, its public part and the digest of its secret."""
    public, secret = secrets.token_hex(PUBLIC_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    return f"bks_{public}_{secret}", public, digest_of(secret)


def scope(name: str) -> Callable[[View], View]:
    """Declare the scope that a key needs for this writing view."""

    def mark(view: View) -> View:
        set_options(view, replace(options_of(view), scope=name))
        return view

    return mark


def checks_write_access_itself(view: View) -> View:
    """Declare that this view's POST is a read for the gate: what it writes, it admits itself."""
    set_options(view, replace(options_of(view), checks_write_access_itself=True))
    return view


def scopes_of(app: Flask) -> list[str]:
    """Return all scopes that the routes of ``app`` declare."""
    declared = {options_of(view).scope for view in app.view_functions.values()}
    return sorted(scope for scope in declared if scope is not None)
