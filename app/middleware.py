"""The door around the Flask application: what every answer has in common, in one place.

A request gets its id here, passes the gate, is answered from the cache if it can be, else by
Flask; the answer is compressed, tagged and compared with what the client has, counted and
logged. It stands before Flask because a hit then costs neither a request context nor a second
round trip.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.auth.guard import RATE_LIMIT_HEADERS, RequestGuard
from app.cache.tags import cache_key, code_fingerprint
from app.errors import ApiError, InternalError
from app.http import instrumentation as observe
from app.http.problems import problem_response
from app.http.request import accepts_json
from app.http.response import BufferedResponse, compress_and_tag, apply_if_none_match
from app.http.route_options import options_of
from app.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

WsgiEnviron = dict[str, Any]
log = logging.getLogger(__name__)
NOT_CACHEABLE = "fwd=bypass; detail=not-cacheable"
REFUSED = "fwd=bypass; detail=refused"


class Route(NamedTuple):
    """Where a request leads."""

    rule: str
    view: Callable[..., Any] | None
    arguments: Mapping[str, Any]


UNMATCHED_ROUTE = Route(observe.UNMATCHED, None, {})


class HttpMiddleware:
    """A WSGI application around ``app``."""

    def __init__(self, app: Flask, services: Services) -> None:
        settings = services.settings
        self._inner = app.wsgi_app
        self._views = app.view_functions
        self._urls = app.url_map.bind("")
        self._cache = services.cache
        self._release = code_fingerprint(settings)
        self._gate = RequestGuard(
            services.access_policy, app.view_functions, settings.trusted_proxies
        )

    def __call__(self, environ: WsgiEnviron, start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        observe.name(environ)
        method = environ["REQUEST_METHOD"]
        if method == "HEAD":  # as GET in everything but the body, the cache included
            environ["REQUEST_METHOD"] = "GET"
        route = self._route(environ)
        try:
            self._gate.check(environ, route.view)
        except ApiError as error:
            answer, cache_status = refusal(error, environ[observe.ID]), REFUSED
        else:
            answer, cache_status = self._safely(environ, route)
            answer = apply_if_none_match(answer, environ)
        # A list of its own: others who waited for the same answer hold this one.
        headers = [
            *answer.headers,
            *environ.get(RATE_LIMIT_HEADERS, ()),
            ("Cache-Status", f"bookstall; {cache_status}"),
            ("X-Request-ID", environ[observe.ID]),
        ]
        seconds = time.perf_counter() - began
        request = observe.Request(environ[observe.ID], method, route.rule, environ["PATH_INFO"])
        observe.record_request(request, answer.status[:3], cache_status, seconds)
        start_response(answer.status, headers)
        return [] if method == "HEAD" else [answer.body]

    def _route(self, environ: WsgiEnviron) -> Route:
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
            rule, arguments = self._urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except (HTTPException, UnicodeDecodeError):  # Flask will say it in its own words
            return UNMATCHED_ROUTE
        return Route(rule.rule, self._views[rule.endpoint], arguments)

    def _safely(self, environ: WsgiEnviron, route: Route) -> tuple[BufferedResponse, str]:
        """Answer as promised even where the fault is in the door itself."""
        try:
            return self._answer(environ, route)
        except Exception:
            log.exception("fault in the door", extra={"request_id": environ[observe.ID]})
            return problem_response(InternalError(), environ[observe.ID]), NOT_CACHEABLE

    def _answer(self, environ: WsgiEnviron, route: Route) -> tuple[BufferedResponse, str]:
        def make() -> BufferedResponse:
            return compress_and_tag(self._ask_flask(environ), environ)

        tags = options_of(route.view).cache_tags
        reads = environ["REQUEST_METHOD"] == "GET"  # OPTIONS leads to the same view
        if not (tags and reads and accepts_json(environ.get("HTTP_ACCEPT", ""))):
            return make(), NOT_CACHEABLE
        if self._cache is None:
            return make(), "fwd=bypass; detail=no-redis"
        filled = [tag.format(**route.arguments) for tag in tags]
        return self._cache.read(cache_key(environ, self._release), filled, make)

    def _ask_flask(self, environ: WsgiEnviron) -> BufferedResponse:
        answer = BufferedResponse("", [], b"")

        def start(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
            answer.status, answer.headers = status, list(headers)

        chunks = self._inner(environ, start)
        try:
            answer.body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return answer
