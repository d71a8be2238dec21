"""Who is asking, how often, and may they: the rules, whatever a request comes by.

app/auth/guard.py holds each HTTP request to them. What comes by another way asks here itself, in
this order: ``client``, a count, ``known``, and for a write ``check_scope``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from app.auth.api_keys import Key, Keyring
from app.errors import Forbidden, TooManyRequests, Unauthorized, away
from app.ratelimit.limiter import Headers, Limiter, Limits

Tell = Callable[[Headers], Any]
"""Takes what a client is to be told of its limit."""


class Client(NamedTuple):
    """Who is asking: a key, else an address."""

    name: str
    key: Key | None = None
    bad_key: bool = False
    """A key was presented, and it is no good: to be counted, and then refused."""


def _untold(headers: Headers) -> None:
    """Tell nobody."""


class Access:
    """The rules of one application; each method raises an ApiError where they are broken."""

    def __init__(self, keyring: Keyring, limits: Limits, *, key_required: bool) -> None:
        self._keyring = keyring
        self._limits = limits
        self._key_required = key_required

    def client(self, presented: str | None, address: str) -> Client:
        """Name who presents this Authorization, or none, from ``address``."""
        key = None if presented is None else self._key(presented)
        name = f"key {key.public}" if key else f"address {address}"
        return Client(name, key, presented is not None and key is None)

    def _key(self, presented: str) -> Key | None:
        scheme, _, token = presented.partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return self._keyring.find(token.strip())
        except SQLAlchemyError as error:
            raise away(error) from error

    def count_read(self, client: Client, tell: Tell = _untold) -> None:
        """Count a read."""
        self._count(client, self._limits.read, tell)

    def count_write(self, client: Client, tell: Tell = _untold) -> None:
        """Count a write."""
        self._count(client, self._limits.write, tell)

    def _count(self, client: Client, limiter: Limiter | None, tell: Tell) -> None:
        if limiter is None:
            return
        admission = limiter.admit(client.name)
        tell(admission.headers)
        if admission.retry_after is not None:
            raise TooManyRequests(admission.retry_after)

    def known(self, client: Client) -> None:
        """Refuse who presents a bad key. After the count: guessing is limited too, by address."""
        if client.bad_key:
            raise Unauthorized("This is not a good API key.", presented=True)

    def check_key(self, client: Client) -> None:
        """Refuse who has no key where one is needed."""
        self.known(client)
        if client.key is None and self._key_required:
            raise Unauthorized("Send an API key as Authorization: Bearer.", presented=False)

    def admit(self, presented: str | None, address: str) -> Client:
        """Name who wants to stay on the line; refuse who may not, as ``check_key`` does."""
        client = self.client(presented, address)
        if client.bad_key:
            self.count_read(client)
        self.check_key(client)
        return client

    def introspects(self, client: Client) -> bool:
        """Tell whether who asks may see the schema of GraphQL: anybody, or who has a key."""
        return client.key is not None or not self._key_required

    def check_scope(self, client: Client, needed: str | None) -> None:
        """Refuse a write of who may not do it."""
        self.check_key(client)
        if client.key is not None and needed is not None and needed not in client.key.scopes:
            raise Forbidden(needed)
