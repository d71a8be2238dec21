"""The gate in the door: holds each HTTP request to the rules of app/auth/policy.py."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.auth.api_keys import admits_its_writes, scope_of
from app.auth.client_address import client_of
from app.auth.policy import access_to
from app.config import Settings
from app.errors import ApiError, away
from app.ratelimit.limiter import Headers

CLIENT = "bookstall.client"
TOLD = "bookstall.limit_headers"
"""What the client is told of its limit, on every answer."""
READS = frozenset({"GET", "HEAD", "OPTIONS"})
UNGUARDED = "health."
"""The blueprint whose routes take no notice of keys and limits: for probes and scrapers."""

WsgiEnviron = dict[str, Any]
View = Callable[..., Any]


class Gate:
    """Checks each request before the cache or Flask is asked."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._access = access_to(app)
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
        def tell(headers: Headers) -> None:
            environ[TOLD] = headers

        access, address = self._access, client_of(environ, self._proxies)
        client = environ[CLIENT] = access.client(environ.get("HTTP_AUTHORIZATION"), address)
        if environ["REQUEST_METHOD"] in READS or admits_its_writes(view):
            access.count_read(client, tell)
            access.known(client)
        else:
            access.count_write(client, tell)
            access.known(client)
            if view is not None:
                access.check_scope(client, scope_of(view))
