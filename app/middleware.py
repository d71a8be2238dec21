"""The WSGI middleware around Flask: what all responses have in common, in one place.

It assigns the request id, checks access, reads the response from the cache or calls the view,
compresses it, adds the ETag, responds 304 where that matches, and records the request. It runs
before Flask, so that a cache hit needs no request context. Views that read are called without
Flask's dispatch, all others by Flask.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.api.contract import call_read
from app.auth.client_address import exact_address
from app.auth.guard import ClientContext, RequestGuard, has_key_for
from app.cache.local_cache import NO_REDIS
from app.cache.memory import MemoryEntry, ResponseMemory
from app.cache.response_cache import CachedResponse
from app.cache.tags import FINE_TAGS, MAX_AGE, REVALIDATE, cache_key, code_fingerprint
from app.errors import ApiError, InternalError
from app.http.accept import accepts_json
from app.http.cors import Cors
from app.http.instrumentation import (
    METHODS,
    REQUEST_ID,
    UNMATCHED,
    begin_request,
    record_request,
)
from app.http.problems import buffered_problem
from app.http.ranges import RangeRequest, apply_range, take_range
from app.http.request import ENVIRON
from app.http.response import (
    NO_SNIFFING,
    BufferedResponse,
    Environ,
    apply_if_none_match,
    call_wsgi,
    compress_and_add_etag,
)
from app.http.route_options import options_of
from app.http.streams import RecordedStream
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


class Request(NamedTuple):
    """A request that the middleware has begun to handle."""

    environ: Environ
    method: str
    """As sent: the environ of a HEAD says GET."""
    id: str
    context: ClientContext
    began: float


class HttpMiddleware:
    """A WSGI application around ``app``."""

    def __init__(self, app: Flask, services: Services) -> None:
        self._flask = app.wsgi_app
        self._app_context = app.app_context
        self._views = app.view_functions
        self._urls = app.url_map.bind("")
        self._cache = services.cache
        self._local_cache = services.local_cache
        self.memory: ResponseMemory[CachedResponse] | None = None
        """Receives the hits from Redis, if somebody can answer with them."""
        self._fingerprint = code_fingerprint(app, services.settings)
        proxies = services.settings.trusted_proxies
        self.guard = RequestGuard(services.access_policy, app.view_functions, proxies)
        self._cors = Cors(services.settings.allowed_origins)

    def __call__(self, environ: Environ, start_response: "StartResponse") -> Iterable[bytes]:
        response = self.respond(environ)
        start_response(response.status, response.headers)
        return [response.body] if response.stream is None else response.stream

    def respond(self, environ: Environ) -> BufferedResponse:
        """Return the response to any request."""
        ranges = take_range(environ)  # before a HEAD is handled as a GET: it has no ranges
        request = self.begin(environ)
        return self._respond(request, self.match(environ), ranges)

    def respond_to_read(self, environ: Environ, route: Route) -> BufferedResponse:
        """Return the whole response to a plain read; the environ needs only what the client sent.

        Its ``route`` has to be one whose responses may be cached.
        """
        return self._respond(self.begin(environ), route, None)

    def begin(self, environ: Environ) -> Request:
        """Give a request its id and the context of its client."""
        began, request_id = time.perf_counter(), begin_request(environ)
        method = environ["REQUEST_METHOD"]
        if method == "HEAD":  # handled as GET, the cache included, but for the body
            environ["REQUEST_METHOD"] = "GET"
        return Request(environ, method, request_id, self.guard.begin(environ), began)

    def finish(
        self, request: Request, route: str, response: BufferedResponse, cache_status: str
    ) -> BufferedResponse:
        """Add the headers that all responses have; record the request, or let its stream do so."""
        context = request.context
        # A new list: requests that waited for the same response share the list of its headers.
        headers = [
            *response.headers,
            *context.rate_limit_headers,
            ("Cache-Status", f"bookstall; {cache_status}"),
            (REQUEST_ID, request.id),
            NO_SNIFFING,
        ]
        self._cors.add_headers(headers, request.environ)
        finished = BufferedResponse(response.status, headers, response.body)
        if request.method == "HEAD":
            finished.body = b""
            if response.stream is not None:
                response.stream.close()
        elif response.stream is not None:
            record = partial(self._record, request, route, response.status, cache_status)
            finished.stream = RecordedStream(response.stream, route, request.id, record)
            return finished
        self._record(request, route, response.status, cache_status, len(finished.body))
        return finished

    def _record(
        self, request: Request, route: str, status: str, cache_status: str, size: int
    ) -> None:
        client = request.context.client
        record_request(
            request.environ,
            request.method,
            route,
            status=status[:3],
            cache=cache_status,
            seconds=time.perf_counter() - request.began,
            client=exact_address(request.context.sent_address),
            key=client.key.public if client.key else None,
            size=size,
        )

    def cache_key(self, environ: Environ) -> str:
        """Return the key of the response to a GET."""
        return cache_key(environ, self._fingerprint)

    def match(self, environ: Environ) -> Route:
        """Return the route of a request."""
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
            rule, arguments = self._urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except (HTTPException, UnicodeDecodeError):  # Flask writes the 404 or 405
            return UNMATCHED_ROUTE
        return Route(rule.rule, self._views[rule.endpoint], arguments)

    def _respond(
        self, request: Request, route: Route, ranges: RangeRequest | None
    ) -> BufferedResponse:
        response, cache_status = self._admit_and_respond(request, route, ranges)
        return self.finish(request, route.rule, response, cache_status)

    def _admit_and_respond(
        self, request: Request, route: Route, ranges: RangeRequest | None
    ) -> tuple[BufferedResponse, str]:
        """Return the response and its cache status; whatever fails is a problem document."""
        environ = request.environ
        try:
            if self._cors.is_preflight(environ):  # without the key that the page will send
                return self._cors.preflight(environ, self._methods(environ)), NOT_CACHEABLE
            self.guard.check(environ, route.view)
            response, cache_status = self._from_cache_or_flask(environ, route)
            response = apply_if_none_match(response, environ)
            return apply_range(response, ranges) if ranges else response, cache_status
        except ApiError as error:
            return buffered_problem(error, request.id), REFUSED
        except Exception:
            log.exception("error in the middleware", extra={"request_id": request.id})
            return buffered_problem(InternalError(), request.id), NOT_CACHEABLE

    def _methods(self, environ: Environ) -> Iterable[str]:
        """Return the methods of a path; all for an unknown one, so that a page can read the 404."""
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
        except UnicodeDecodeError:
            return METHODS
        return self._urls.allowed_methods(path) or METHODS

    def _from_cache_or_flask(self, environ: Environ, route: Route) -> tuple[BufferedResponse, str]:
        def call_view() -> tuple[BufferedResponse, tuple[str, ...]]:
            began = time.monotonic()  # before the query, as the view counts from that
            response = self._call_view(environ, route)
            if (max_age := environ.get(MAX_AGE)) is not None:
                response.expires_at = began + max_age
                response.headers.append(REVALIDATE)
            return compress_and_add_etag(response, environ), environ.get(FINE_TAGS, ())

        templates = options_of(route.view).cache_tags
        is_get = environ["REQUEST_METHOD"] == "GET"  # OPTIONS matches the same view
        # Flask responds 406 to a client that does not accept JSON.
        if not (templates and is_get and accepts_json(environ.get("HTTP_ACCEPT", ""))):
            return call_view()[0], NOT_CACHEABLE
        if has_key_for(environ, options_of(route.view).uncached_scope):
            return call_view()[0], NOT_CACHEABLE
        tags = [template.format(**route.arguments) for template in templates]
        key = self.cache_key(environ)
        if self._local_cache is not None:
            return self._local_cache.read(key, route.rule, tags, call_view)
        if self._cache is None:
            return call_view()[0], NO_REDIS
        answer = self._cache.read(key, tags, call_view)
        if (cached := answer.cached) is not None and self.memory is not None:
            all_tags = (*cached.guard_tags, *cached.fine_tags)
            entry = MemoryEntry(cached.response, route.rule, all_tags, cached.expires_at, cached)
            self.memory.put(key, entry)
        return answer.response, answer.status

    def _call_view(self, environ: Environ, route: Route) -> BufferedResponse:
        token = ENVIRON.set(environ)
        try:
            contract = options_of(route.view).response
            if route.view is None or contract is None or environ["REQUEST_METHOD"] != "GET":
                return call_wsgi(self._flask, environ)
            with self._app_context():
                return call_read(route.view, route.arguments, environ)
        finally:
            ENVIRON.reset(token)
