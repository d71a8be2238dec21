"""The gate in the door: who is asking, and may they."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.address import client_of
from app.config import Settings
from app.errors import ApiError, Forbidden, Unauthorized, away
from app.keys import Key, keyring, scope_of

CLIENT = "bookstall.client"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
UNGUARDED = "health."
"""The blueprint whose routes take no notice of keys: probes and scrapers send their own."""

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
        client = self._client(environ)
        environ[CLIENT] = client
        if view is not None and environ["REQUEST_METHOD"] not in READS:
            self._check_scope(client.key, scope_of(view))

    def _client(self, environ: WsgiEnviron) -> Client:
        presented = environ.get("HTTP_AUTHORIZATION")
        if presented is None:
            return Client(f"address {client_of(environ, self._proxies)}")
        scheme, _, token = presented.partition(" ")
        key = self._keyring.find(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Unauthorized("This is not a good API key.", presented=True)
        return Client(f"key {key.public}", key)

    def _check_scope(self, key: Key | None, needed: str | None) -> None:
        if key is None:
            if self._key_required:
                raise Unauthorized("Send an API key as Authorization: Bearer.", presented=False)
        elif needed is not None and needed not in key.scopes:
            raise Forbidden(needed)
