"""The gate in the door: who is asking, how often, and may they."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.address import client_of
from app.config import Settings
from app.errors import ApiError, Forbidden, TooManyRequests, Unauthorized, away
from app.keys import Key, keyring, scope_of
from app.limits import Limiter, Limits

CLIENT = "bookstall.client"
TOLD = "bookstall.limit_headers"
"""What the client is told of its limit, on every answer."""
READS = frozenset({"GET", "HEAD", "OPTIONS"})
UNGUARDED = "health."
"""The blueprint whose routes take no notice of keys and limits: for probes and scrapers."""

WsgiEnviron = dict[str, Any]
View = Callable[..., Any]


class Client(NamedTuple):
    """Who is asking: a key, else an address."""

    name: str
    key: Key | None = None


class Gate:
    """Checks each request before the cache or Flask is asked."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._keyring = keyring(app)
        self._limits: Limits = app.extensions["bookstall_limits"]
        self._key_required = settings.require_api_key
        self._proxies = settings.trusted_proxies
        views = app.view_functions.items()
        self._unguarded = {view for endpoint, view in views if endpoint.startswith(UNGUARDED)}

    def refuses(self, environ: WsgiEnviron, view: View | None) -> ApiError | None:
        """Return why this request may not pass, or None; leave in ``environ`` whose it is."""
        if view in self._unguarded:
            return None
        try:
            self._check(environ, view)
        except ApiError as error:
            return error
        except SQLAlchemyError as error:
            return away(error)
        return None

    def _check(self, environ: WsgiEnviron, view: View | None) -> None:
        presented = environ.get("HTTP_AUTHORIZATION")
        key = None if presented is None else self._key(presented)
        name = f"key {key.public}" if key else f"address {client_of(environ, self._proxies)}"
        environ[CLIENT] = Client(name, key)
        writes = environ["REQUEST_METHOD"] not in READS
        # Before a bad key is refused: guessing is limited too, by address.
        self._count(environ, name, self._limits.write if writes else self._limits.read)
        if presented is not None and key is None:
            raise Unauthorized("This is not a good API key.", presented=True)
        if writes and view is not None:
            self._check_scope(key, scope_of(view))

    def _key(self, presented: str) -> Key | None:
        scheme, _, token = presented.partition(" ")
        return self._keyring.find(token.strip()) if scheme.lower() == "bearer" else None

    def _count(self, environ: WsgiEnviron, name: str, limiter: Limiter | None) -> None:
        if limiter is None:
            return
        admission = limiter.admit(name)
        environ[TOLD] = admission.headers
        if admission.retry_after is not None:
            raise TooManyRequests(admission.retry_after)

    def _check_scope(self, key: Key | None, needed: str | None) -> None:
        if key is None:
            if self._key_required:
                raise Unauthorized("Send an API key as Authorization: Bearer.", presented=False)
        elif needed is not None and needed not in key.scopes:
            raise Forbidden(needed)
