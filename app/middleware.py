"""The WSGI middleware around Flask: what all responses have in common, in one place.

It assigns the request id, checks access, reads the response from the cache or calls Flask,
compresses it, adds the ETag, responds 304 where that matches, and records the request. It runs
before Flask, so that a cache hit needs no request context.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.auth.guard import RequestGuard, client_context
from app.cache.tags import cache_key, code_fingerprint
from app.errors import ApiError, InternalError
from app.http.accept import accepts_json
from app.http.instrumentation import REQUEST_ID, UNMATCHED, assign_request_id, record_request
from app.http.problems import buffered_problem
from app.http.response import BufferedResponse, Environ, apply_if_none_match, compress_and_add_etag
from app.http.route_options import options_of
from app.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

log = logging.getLogger(__name__)
NOT_CACHEABLE = "fwd=bypass; detail=not-cacheable"
REFUSED = "fwd=bypass; detail=refused"


class Route(NamedTuple):
    """The rule that a request matches, its view and the arguments of the path."""

    rule: str
    view: Callable[..., Any] | None
    arguments: Mapping[str, Any]


UNMATCHED_ROUTE = Route(UNMATCHED, None, {})


class HttpMiddleware:
    """A WSGI application around ``app``."""

    def __init__(self, app: Flask, services: Services) -> None:
        self._flask = app.wsgi_app
        self._views = app.view_functions
        self._urls = app.url_map.bind("")
        self._cache = services.cache
        self._fingerprint = code_fingerprint(app, services.settings)
        proxies = services.settings.trusted_proxies
        self._guard = RequestGuard(services.access_policy, app.view_functions, proxies)

    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()
        request_id, method = assign_request_id(environ), environ["REQUEST_METHOD"]
        if method == "HEAD":  # handled as GET, the cache included, but for the body
            environ["REQUEST_METHOD"] = "GET"
        route = self._match(environ)
        try:
            self._guard.check(environ, route.view)
        except ApiError as error:
            response, cache_status = buffered_problem(error, request_id), REFUSED
        else:
            response, cache_status = self._respond(environ, route, request_id)
            response = apply_if_none_match(response, environ)
        # A new list: requests that waited for the same response share the list of its headers.
        headers = [
            *response.headers,
            *client_context(environ).rate_limit_headers,
            ("Cache-Status", f"bookstall; {cache_status}"),
            (REQUEST_ID, request_id),
        ]
        seconds = time.perf_counter() - began
        status = response.status[:3]
        record_request(
            environ, method, route.rule, status=status, cache=cache_status, seconds=seconds
        )
        start_response(response.status, headers)
        return [] if method == "HEAD" else [response.body]

    def _match(self, environ: Environ) -> Route:
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
            rule, arguments = self._urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except (HTTPException, UnicodeDecodeError):  # Flask writes the 404 or 405
            return UNMATCHED_ROUTE
        return Route(rule.rule, self._views[rule.endpoint], arguments)

    def _respond(
        self, environ: Environ, route: Route, request_id: str
    ) -> tuple[BufferedResponse, str]:
        """Return the response; if this middleware has a bug, a problem document."""
        try:
            return self._from_cache_or_flask(environ, route)
        except Exception:
            log.exception("error in the middleware", extra={"request_id": request_id})
            return buffered_problem(InternalError(), request_id), NOT_CACHEABLE

    def _from_cache_or_flask(self, environ: Environ, route: Route) -> tuple[BufferedResponse, str]:
        def call_view() -> BufferedResponse:
            return compress_and_add_etag(self._call_flask(environ), environ)

        templates = options_of(route.view).cache_tags
        is_get = environ["REQUEST_METHOD"] == "GET"  # OPTIONS matches the same view
        # Flask responds 406 to a client that does not accept JSON.
        if not (templates and is_get and accepts_json(environ.get("HTTP_ACCEPT", ""))):
            return call_view(), NOT_CACHEABLE
        if self._cache is None:
            return call_view(), "fwd=bypass; detail=no-redis"
        tags = [template.format(**route.arguments) for template in templates]
        return self._cache.read(cache_key(environ, self._fingerprint), tags, call_view)

    def _call_flask(self, environ: Environ) -> BufferedResponse:
        response = BufferedResponse("", [], b"")

        def start(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
            response.status, response.headers = status, list(headers)

        chunks = self._flask(environ, start)
        try:
            response.body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return response
