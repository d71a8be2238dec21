"""The WSGI middleware around Flask: what all responses have in common, in one place.

It assigns the request id, checks access, reads the response from the cache or calls the view,
compresses it, adds the ETag, responds 304 where that matches, and records the request. It runs
before Flask, so that a cache hit needs no request context.
"""

import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask

from app.api.views import Route, Views
from app.auth.client_address import exact_address
from app.auth.guard import ENVIRON_KEY, ClientContext, RequestGuard, has_key_for
from app.cache.local_cache import NO_REDIS
from app.cache.memory import MemoryEntry, ResponseMemory
from app.cache.response_cache import CachedResponse
from app.cache.tags import cache_key, code_fingerprint
from app.errors import ApiError, InternalError
from app.http.accept import accepts_json
from app.http.cors import Cors
from app.http.instrumentation import MEMORY_HIT, REQUEST_ID, begin_request, record_request
from app.http.problems import buffered_problem
from app.http.ranges import RangeRequest, apply_range, take_range
from app.http.response import NO_SNIFFING, BufferedResponse, Environ, apply_if_none_match
from app.http.route_options import options_of
from app.http.streams import RecordedStream
from app.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

log = logging.getLogger(__name__)
NOT_CACHEABLE = "fwd=bypass; detail=not-cacheable"
REFUSED = "fwd=bypass; detail=refused"


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
        self.views = Views(app)
        self._cache = services.cache
        self._local_cache = services.local_cache
        self._self_check = services.self_check
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
        return self._respond(request, self.views.match(environ), ranges)

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
                return self._cors.preflight(environ, self.views.methods(environ)), NOT_CACHEABLE
            self.guard.check(environ, route.view)
            response, cache_status = self._from_cache_or_flask(environ, route)
            response = apply_if_none_match(response, environ)
            return apply_range(response, ranges) if ranges else response, cache_status
        except ApiError as error:
            return buffered_problem(error, request.id), REFUSED
        except Exception:
            log.exception("error in the middleware", extra={"request_id": request.id})
            return buffered_problem(InternalError(), request.id), NOT_CACHEABLE

    def _from_cache_or_flask(self, environ: Environ, route: Route) -> tuple[BufferedResponse, str]:
        def call_view() -> tuple[BufferedResponse, tuple[str, ...]]:
            return self.views.respond(environ, route)

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
            if (kept := self._local_cache.find(key)) is None:
                return self._local_cache.fill(key, route.rule, tags, call_view)
            self.check_sometimes(kept, environ, route)
            return kept.response, MEMORY_HIT
        if self._cache is None:
            return call_view()[0], NO_REDIS
        answer = self._cache.read(key, tags, call_view)
        if (cached := answer.cached) is not None:
            all_tags = (*cached.guard_tags, *cached.fine_tags)
            entry = MemoryEntry(cached.response, route.rule, all_tags, cached.expires_at, cached)
            self.check_sometimes(entry, environ, route)
            if self.memory is not None:
                self.memory.put(key, entry)
        return answer.response, answer.status

    def check_sometimes(self, entry: MemoryEntry[Any], environ: Environ, route: Route) -> None:
        """Compare one in a thousand of the hits with the database, later and in another thread."""
        if self._self_check is not None and self._self_check.is_due():
            sent = {name: value for name, value in environ.items() if isinstance(value, str)}
            sent[ENVIRON_KEY] = environ[ENVIRON_KEY]
            respond = lambda: self.views.respond(sent, route)[0]  # noqa: E731
            self._self_check.check_later(entry, respond, environ["HTTP_X_REQUEST_ID"])
