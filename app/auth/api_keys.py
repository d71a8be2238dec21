"""API keys, which authenticate a client and give it scopes.

A token is ``bks_<public>_<secret>``. The public part identifies the key in lists and logs. Of the
secret, 256 random bits, only the SHA-256 is stored. A key that was rotated has a new secret, and
keeps the older ones for a while. docs/access.md explains revocation, expiry and rotation.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from sqlalchemy import JSON, ColumnElement, Engine, LargeBinary, String, func, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import UtcDateTime, now
from app.extensions import Base
from app.http.route_options import View, not_stored, set_options
from app.single_flight import SingleFlight

TOKEN = re.compile(r"bks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SECRET_BYTES = 32
PUBLIC_BYTES = 6
NAME_MAX = 100
CACHE_SECONDS = 0.9
"""How long a process trusts its copy of the keys: a revocation takes effect within 1 s."""
MISS_CACHE_SECONDS = 0.1
"""The same for what the copy rejects: the key may have been created or rotated a moment ago."""
ALL_SCOPES = "*"
"""The scope that allows what any other scope allows, those of later releases included."""


class ApiKey(Base):
    """An API key. Its scopes never change: create another key instead, and revoke this one.

    It expires at the same moment for all hosts whose clocks agree: each looks at its own.
    """

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
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rotations: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many times the secret was replaced."""
    old_secrets: Mapped[list[dict[str, str]] | None] = mapped_column(JSON)
    """The ``digest`` of each secret before this one, and when it ``expires_at``."""

    @classmethod
    def active(cls) -> ColumnElement[bool]:
        """Return the condition that a key is neither revoked nor expired."""
        return cls.revoked_at.is_(None) & or_(cls.expires_at.is_(None), cls.expires_at > now())

    def rotate(self, digest: bytes, grace_until: datetime, expires_at: datetime | None) -> None:
        """Replace the secret; the key with the new one is valid until ``expires_at``.

        No older secret is valid after ``grace_until``, and none for longer than it was before.
        """
        until = min(grace_until, self.expires_at or grace_until)
        latest = {"digest": self.digest.hex(), "expires_at": until.isoformat()}
        older = [
            {**secret, "expires_at": min(until, _expiry(secret)).isoformat()}
            for secret in self.old_secrets or ()
        ]
        self.old_secrets = [old for old in (latest, *older) if _expiry(old) > now()]
        self.digest, self.expires_at = digest, expires_at
        self.rotations += 1

    def grace_until(self) -> datetime | None:
        """Return until when an older secret is valid; None if none is."""
        last = max(map(_expiry, self.old_secrets or ()), default=now())
        return last if last > now() else None


def _expiry(secret: dict[str, str]) -> datetime:
    return datetime.fromisoformat(secret["expires_at"])


KEYS_STATE = select(
    func.count(),
    func.count(ApiKey.revoked_at),
    func.max(ApiKey.id),
    func.sum(ApiKey.rotations),
)
"""Changes whenever a key is created, rotated, revoked or deleted."""
KEY_COLUMNS = (
    ApiKey.public,
    ApiKey.digest,
    ApiKey.scopes,
    ApiKey.expires_at,
    ApiKey.old_secrets,
)


class Secret(NamedTuple):
    """The digest of a secret, and the time of the system's clock at which it expires."""

    digest: bytes
    expires_at: float


class ActiveKey(NamedTuple):
    """A key that is not revoked; each of its secrets may have expired."""

    public: str
    secrets: tuple[Secret, ...]
    scopes: frozenset[str]

    def accepts(self, digest: bytes) -> bool:
        """Return whether ``digest`` is that of a secret that has not expired."""
        time_now = time.time()
        matches = [secret for secret in self.secrets if hmac.compare_digest(digest, secret.digest)]
        return any(time_now < secret.expires_at for secret in matches)

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or ALL_SCOPES in self.scopes


DUMMY_KEY = ActiveKey("", (Secret(bytes(32), -inf),), frozenset())
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
        sent = digest(parts[2])
        for max_age in (CACHE_SECONDS, MISS_CACHE_SECONDS):
            self._refresh(max_age)
            key = self._keys.get(parts[1], DUMMY_KEY)
            if key.accepts(sent):
                return key
        return None

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
                rows = connection.execute(select(*KEY_COLUMNS).where(ApiKey.active()))
                self._keys = {row.public: _active_key(row) for row in rows}
                self._state = state
        self._loaded_at = began


def _active_key(row: Any) -> ActiveKey:
    expires_at = row.expires_at.timestamp() if row.expires_at else inf

    def valid_secrets() -> Iterator[Secret]:
        yield Secret(row.digest, expires_at)
        for old in row.old_secrets or ():
            end = min(expires_at, _expiry(old).timestamp())
            yield Secret(bytes.fromhex(old["digest"]), end)

    return ActiveKey(row.public, tuple(valid_secrets()), frozenset(row.scopes))


def digest(secret: str) -> bytes:
    """Return the stored hash of a secret, which is too random to need a slow hash."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def new_token() -> tuple[str, str, bytes]:
    """Generate a token; return it, its public part and the digest of its secret."""
    public = secrets.token_hex(PUBLIC_BYTES)
    token, digest_ = new_secret(public)
    return token, public, digest_


def new_secret(public: str) -> tuple[str, bytes]:
    """Generate a secret for the key ``public``; return the token and the digest."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return f"bks_{public}_{secret}", digest(secret)


def scope(name: str, **fields: str) -> Callable[[View], View]:
    """Declare the scope that an API key needs to write through this view.

    ``fields`` names fields of the body that need another scope in its place.
    """
    return lambda view: set_options(view, scope=name, field_scopes=fields)


def private(view: View) -> View:
    """Let only those who may write through this view read through it, and let nobody cache it."""
    return set_options(not_stored(view), is_private=True)


def checks_write_access_itself(view: View) -> View:
    """Let the guard count each POST to this view as a read: the view checks its writes itself."""
    return set_options(view, checks_write_access_itself=True)
