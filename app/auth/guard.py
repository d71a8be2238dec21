"""The gate in the door: holds each HTTP request to the rules of app/auth/policy.py."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.auth.client_address import client_of
from app.auth.policy import Access
from app.errors import ApiError, away
from app.http.route_options import options_of
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

    def __init__(self, policy: Access, views: Mapping[str, View], trusted_proxies: int) -> None:
        self._access = policy
        self._proxies = trusted_proxies
        self._unguarded = {
            view for endpoint, view in views.items() if endpoint.startswith(UNGUARDED)
        }

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

        options = options_of(view)
        access, address = self._access, client_of(environ, self._proxies)
        client = environ[CLIENT] = access.client(environ.get("HTTP_AUTHORIZATION"), address)
        if environ["REQUEST_METHOD"] in READS or options.checks_write_access_itself:
            access.count_read(client, tell)
            access.known(client)
        else:
            access.count_write(client, tell)
            access.known(client)
            if view is not None:
                access.check_scope(client, options.scope)
