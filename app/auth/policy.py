"""The access policy: who the client is, its rate limits, and what it may do.

app/auth/guard.py applies the policy to each HTTP request. Code that serves other requests, such
as WebSocket messages, calls the same methods in the same order: ``identify``, a count,
``reject_invalid_key``, and ``check_scope`` before a write.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from app import run_folder
from app.auth.api_keys import ActiveKey, ApiKeyCache
from app.auth.demand import Demand
from app.auth.refusals import Refusals
from app.db.errors import unavailable
from app.errors import Forbidden, Unauthorized
from app.ratelimit.limiter import Admission, Headers, Limiter, RateLimits

OnHeaders = Callable[[Headers], Any]
"""Receives the rate limit headers for the response, also when the request is rejected."""


class Client(NamedTuple):
    """A client: an API key, or else a network address."""

    name: str
    key: ActiveKey | None = None
    invalid_key: bool = False
    """The client sent an invalid API key: it is counted by address, then rejected."""


UNIDENTIFIED = Client("unidentified")
"""The client of a request that the guard does not check."""
UNLIMITED = Admission(())


def bearer_token(authorization: str) -> str | None:
    """Return the token of an ``Authorization`` header; None if its scheme is another one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class Quota(NamedTuple):
    """The limit of one kind of request, and how many of them there are."""

    kind: str
    limiter: Limiter | None
    demand: Demand


class AccessPolicy:
    """The access rules of one application. Every check raises an ApiError if it fails."""

    def __init__(
        self,
        api_keys: ApiKeyCache,
        limits: RateLimits,
        *,
        key_required: bool,
        limits_on_trial: bool = False,
    ) -> None:
        self._api_keys = api_keys
        self._key_required = key_required
        folder = run_folder.current()
        self._reads = Quota("read", limits.read, Demand("read", folder))
        self._writes = Quota("write", limits.write, Demand("write", folder))
        self._refusals = Refusals(trial=limits_on_trial)

    def identify(self, authorization: str | None, address: str) -> Client:
        """Return the client that sent this ``Authorization`` header from ``address``."""
        key = None if authorization is None else self._find_key(authorization)
        name = f"key {key.public}" if key else f"address {address}"
        return Client(name, key, authorization is not None and key is None)

    def _find_key(self, authorization: str) -> ActiveKey | None:
        token = bearer_token(authorization)
        if token is None:
            return None
        try:
            return self._api_keys.find(token)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def count_read(self, client: Client, on_headers: OnHeaders | None = None) -> None:
        self._count(client, self._reads, on_headers)

    def try_count_read(self, client: Client) -> Headers | None:
        """Count a read, but do not wait for Redis; return the rate limit headers.

        None means that only ``count_read`` can decide, and that nothing is counted yet.
        """
        limiter = self._reads.limiter
        admission = limiter.try_admit(client.name) if limiter else UNLIMITED
        if admission is None or (admission.retry_after and not self._refusals.trial):
            return None
        return self._admit(client, self._reads, admission)

    def count_write(self, client: Client, on_headers: OnHeaders | None = None) -> None:
        self._count(client, self._writes, on_headers)

    def count_more_writes(self, client: Client, writes: int, on_headers: OnHeaders) -> None:
        """Count a write, which was counted once, as so many more; raise TooManyRequests.

        What costs more than the whole quota takes all of it.
        """
        limiter = self._writes.limiter
        if limiter is not None:
            writes = min(writes, limiter.quota - 1)
        if writes:
            admission = limiter.admit_at_once(client.name, writes) if limiter else UNLIMITED
            on_headers(admission.headers)
            self._admit(client, self._writes, admission, writes)

    def _count(self, client: Client, quota: Quota, on_headers: OnHeaders | None) -> None:
        limiter = quota.limiter
        admission = limiter.admit(client.name) if limiter else UNLIMITED
        if on_headers is not None:
            on_headers(admission.headers)
        self._admit(client, quota, admission)

    def _admit(
        self, client: Client, quota: Quota, admission: Admission, requests: int = 1
    ) -> Headers:
        """Record a request; raise TooManyRequests if the limiter does not admit it."""
        quota.demand.record(client.name, requests)
        if admission.retry_after is not None:
            self._refusals.refuse(client.name, quota.kind, admission.retry_after)
        return admission.headers

    def complete_minute(self) -> None:
        """Bring the metrics of what clients send up to date."""
        for quota in (self._reads, self._writes):
            quota.demand.complete_minute()

    def reject_invalid_key(self, client: Client) -> None:
        """Reject a client with an invalid key. Call it after the count, which limits guessing."""
        if client.invalid_key:
            raise Unauthorized("The API key is invalid.", presented=True)

    def require_key(self, client: Client) -> None:
        """Reject a client without a valid key where this application requires one."""
        self.reject_invalid_key(client)
        if client.key is None and self._key_required:
            raise Unauthorized("Send an API key as Authorization: Bearer.", presented=False)

    def authenticate(self, authorization: str | None, address: str) -> Client:
        """Identify the client of a long-lived connection; reject it as ``require_key`` does."""
        client = self.identify(authorization, address)
        if client.invalid_key:
            self.count_read(client)
        self.require_key(client)
        return client

    def may_introspect(self, client: Client) -> bool:
        return client.key is not None or not self._key_required

    def check_scope(self, client: Client, scope: str | None) -> None:
        """Reject a write by a client that has no required key, or whose key lacks ``scope``."""
        self.require_key(client)
        if scope is not None and not self.allows(client, scope):
            raise Forbidden(scope)

    def allows(self, client: Client, scope: str) -> bool:
        """Return whether ``client`` may do what needs ``scope``."""
        if client.key is not None:
            return client.key.allows(scope)
        return not (client.invalid_key or self._key_required)
