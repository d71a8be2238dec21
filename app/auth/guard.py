"""The request guard: applies the access policy to each HTTP request, before cache and Flask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.auth.client_address import normalize_address, sent_address
from app.auth.policy import UNIDENTIFIED, AccessPolicy, Client
from app.db.errors import unavailable
from app.http.response import Environ
from app.http.route_options import options_of
from app.ratelimit.limiter import Headers

ENVIRON_KEY = "bookstall.client"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
EXEMPT_BLUEPRINTS = frozenset({"health"})
"""Probes and scrapers are neither authenticated nor rate limited."""
View = Callable[..., Any]


@dataclass(slots=True)
class ClientContext:
    """The client of one request, and the rate limit headers of its response."""

    sent_address: str
    policy: AccessPolicy
    client: Client = UNIDENTIFIED
    rate_limit_headers: Headers = ()

    def count_more_writes(self, writes: int) -> None:
        """Count the request as so many more writes; raise TooManyRequests."""
        self.policy.count_more_writes(self.client, writes, self.store_headers)

    def store_headers(self, headers: Headers) -> None:
        self.rate_limit_headers = headers


def client_context(environ: Environ) -> ClientContext:
    """Return what the guard stored for this request."""
    context: ClientContext = environ[ENVIRON_KEY]
    return context


def has_key_for(environ: Environ, scope: str | None) -> bool:
    """Return whether the client of this request sent a key that has ``scope``."""
    key = client_context(environ).client.key
    return key is not None and scope is not None and key.allows(scope)


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

    def begin(self, environ: Environ) -> ClientContext:
        """Store in ``environ`` from which address a request comes; nothing is checked yet."""
        address = sent_address(environ, self._trusted_proxies)
        context = environ[ENVIRON_KEY] = ClientContext(address, self._policy)
        return context

    def check(self, environ: Environ, view: View | None) -> None:
        """Raise an ApiError if the request is rejected.

        Store the client, and the rate limit headers of the response, in its context.
        """
        context = client_context(environ)
        if view in self._exempt_views:
            return
        try:
            self._check(environ, view, context)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def address_client(self, environ: Environ) -> Client:
        """Return the client of a request that sends no API key."""
        address = sent_address(environ, self._trusted_proxies)
        return self._policy.identify(None, normalize_address(address))

    def try_admit(self, environ: Environ, client: Client) -> bool:
        """Count the read of a client without a key, but do not wait for Redis.

        If it returns False, nothing is counted, and ``check`` has to decide.
        """
        headers = self._policy.try_count_read(client)
        if headers is None:
            return False
        context = client_context(environ)
        context.client, context.rate_limit_headers = client, headers
        return True

    def _check(self, environ: Environ, view: View | None, context: ClientContext) -> None:
        policy, options = self._policy, options_of(view)
        address = normalize_address(context.sent_address)
        client = context.client = policy.identify(environ.get("HTTP_AUTHORIZATION"), address)
        is_read = environ["REQUEST_METHOD"] in READS or options.checks_write_access_itself
        count = policy.count_read if is_read else policy.count_write
        count(client, context.store_headers)
        policy.reject_invalid_key(client)
        if view is not None and (options.is_private or not is_read):
            # Which scope a field needs is checked when the body has been read: contract.py.
            policy.check_scope(client, None if options.field_scopes else options.scope)
