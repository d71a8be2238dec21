"""The request guard: applies the access policy to each HTTP request, before cache and Flask."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.auth.client_address import client_of
from app.auth.policy import AccessPolicy
from app.errors import unavailable
from app.http.route_options import options_of
from app.ratelimit.limiter import Headers

CLIENT = "bookstall.client"
RATE_LIMIT_HEADERS = "bookstall.limit_headers"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
EXEMPT_BLUEPRINTS = frozenset({"health"})
"""Probes and scrapers are neither authenticated nor rate limited."""

WsgiEnviron = dict[str, Any]
View = Callable[..., Any]


class RequestGuard:
    """Identifies the client of each request, counts the request and checks access."""

    def __init__(
        self, policy: AccessPolicy, views: Mapping[str, View], trusted_proxies: int
    ) -> None:
        self._policy = policy
        self._trusted_proxies = trusted_proxies
        self._exempt_views = {
            view
            for endpoint, view in views.items()
            if endpoint.partition(".")[0] in EXEMPT_BLUEPRINTS
        }

    def check(self, environ: WsgiEnviron, view: View | None) -> None:
        """Raise an ApiError if the request is rejected.

        Store the client, and the rate limit headers of the response, in ``environ``.
        """
        if view in self._exempt_views:
            return
        try:
            self._check(environ, view)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def _check(self, environ: WsgiEnviron, view: View | None) -> None:
        def store_headers(headers: Headers) -> None:
            environ[RATE_LIMIT_HEADERS] = headers

        policy, options = self._policy, options_of(view)
        address = client_of(environ, self._trusted_proxies)
        client = environ[CLIENT] = policy.identify(environ.get("HTTP_AUTHORIZATION"), address)
        if environ["REQUEST_METHOD"] in READS or options.checks_write_access_itself:
            policy.count_read(client, store_headers)
            policy.reject_invalid_key(client)
        else:
            policy.count_write(client, store_headers)
            policy.reject_invalid_key(client)
            if view is not None:
                policy.check_scope(client, options.scope)
