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

from app.auth.client_address import exact_address
from app.auth.guard import RequestGuard
from app.cache.tags import FINE_TAGS, cache_key, code_fingerprint
from app.errors import ApiError, InternalError
from app.http.accept import accepts_json
from app.http.cors import Cors
from app.http.instrumentation import (
    METHODS,
    REQUEST_ID,
    UNMATCHED,
    assign_request_id,
    record_request,
)
from app.http.problems import buffered_problem
from app.http.ranges import RangeRequest, apply_range, take_range
from app.http.response import (
    NO_SNIFFING,
    BufferedResponse,
    Environ,
    apply_if_none_match,
    compress_and_add_etag,
)
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
        self._cors = Cors(services.settings.allowed_origins)

    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()
        request_id, method = assign_request_id(environ), environ["REQUEST_METHOD"]
        context, ranges = self._guard.begin(environ), take_range(environ)
        if method == "HEAD":  # handled as GET, the cache included, but for the body
            environ["REQUEST_METHOD"] = "GET"
        route = self._match(environ)
        response, cache_status = self._respond(environ, route, ranges, request_id)
        # A new list: requests that waited for the same response share the list of its headers.
        headers = [
            *response.headers,
            *context.rate_limit_headers,
            ("Cache-Status", f"bookstall; {cache_status}"),
            (REQUEST_ID, request_id),
            NO_SNIFFING,
        ]
        self._cors.add_headers(headers, environ)
        body = [] if method == "HEAD" else [response.body]
        record_request(
            environ,
            method,
            route.rule,
            status=response.status[:3],
            cache=cache_status,
            seconds=time.perf_counter() - began,
            client=exact_address(context.sent_address),
            key=context.client.key.public if context.client.key else None,
            size=sum(map(len, body)),
        )
        start_response(response.status, headers)
        return body

    def _match(self, environ: Environ) -> Route:
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
            rule, arguments = self._urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except (HTTPException, UnicodeDecodeError):  # Flask writes the 404 or 405
            return UNMATCHED_ROUTE
        return Route(rule.rule, self._views[rule.endpoint], arguments)

    def _respond(
        self, environ: Environ, route: Route, ranges: RangeRequest | None, request_id: str
    ) -> tuple[BufferedResponse, str]:
        """Return the response and its cache status; whatever fails is a problem document."""
        try:
            if self._cors.is_preflight(environ):  # without the key that the page will send
                return self._cors.preflight(environ, self._methods(environ)), NOT_CACHEABLE
            self._guard.check(environ, route.view)
            response, cache_status = self._from_cache_or_flask(environ, route)
            response = apply_if_none_match(response, environ)
            return apply_range(response, ranges) if ranges else response, cache_status
        except ApiError as error:
            return buffered_problem(error, request_id), REFUSED
        except Exception:
            log.exception("error in the middleware", extra={"request_id": request_id})
            return buffered_problem(InternalError(), request_id), NOT_CACHEABLE

    def _methods(self, environ: Environ) -> Iterable[str]:
        """Return the methods of a path; all for an unknown one, so that a page can read the 404."""
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
        except UnicodeDecodeError:
            return METHODS
        return self._urls.allowed_methods(path) or METHODS

    def _from_cache_or_flask(self, environ: Environ, route: Route) -> tuple[BufferedResponse, str]:
        def call_view() -> tuple[BufferedResponse, tuple[str, ...]]:
            response = compress_and_add_etag(self._call_flask(environ), environ)
            return response, environ.get(FINE_TAGS, ())

        templates = options_of(route.view).cache_tags
        is_get = environ["REQUEST_METHOD"] == "GET"  # OPTIONS matches the same view
        # Flask responds 406 to a client that does not accept JSON.
        if not (templates and is_get and accepts_json(environ.get("HTTP_ACCEPT", ""))):
            return call_view()[0], NOT_CACHEABLE
        if self._cache is None:
            return call_view()[0], "fwd=bypass; detail=no-redis"
        tags = [template.format(**route.arguments) for template in templates]
        answer = self._cache.read(cache_key(environ, self._fingerprint), tags, call_view)
        return answer.response, answer.status

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
