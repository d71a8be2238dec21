"""The views of the application by the requests that they serve, and how to call them.

Views that read are called without Flask's dispatch, all others by Flask.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.api.contract import call_read
from app.cache.tags import FINE_TAGS, MAX_AGE, REVALIDATE
from app.http.instrumentation import METHODS, UNMATCHED
from app.http.request import ENVIRON, ROUTE
from app.http.response import BufferedResponse, Environ, call_wsgi, compress_and_add_etag
from app.http.route_options import options_of


class Route(NamedTuple):
    """The rule that a request matches, its view and the arguments of the path."""

    rule: str
    view: Callable[..., Any] | None
    arguments: Mapping[str, Any]


UNMATCHED_ROUTE = Route(UNMATCHED, None, {})


class Views:
    """The views of ``app``."""

    def __init__(self, app: Flask) -> None:
        self._flask = app.wsgi_app
        self._app_context = app.app_context
        self._views = app.view_functions
        self._urls = app.url_map.bind("")

    def match(self, environ: Environ) -> Route:
        """Return the route of a request."""
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
            rule, arguments = self._urls.match(path, environ["REQUEST_METHOD"], return_rule=True)
        except (HTTPException, UnicodeDecodeError):  # Flask writes the 404 or 405
            return UNMATCHED_ROUTE
        return Route(rule.rule, self._views[rule.endpoint], arguments)

    def methods(self, environ: Environ) -> Iterable[str]:
        """Return the methods of a path; all for an unknown one, so that a page can read the 404."""
        try:
            path = environ["PATH_INFO"].encode("latin-1").decode()
        except UnicodeDecodeError:
            return METHODS
        return self._urls.allowed_methods(path) or METHODS

    def respond(self, environ: Environ, route: Route) -> tuple[BufferedResponse, tuple[str, ...]]:
        """Return the response of a view, compressed and with its ETag, and its fine tags."""
        began = time.monotonic()  # before the query, as the view counts from that
        response = self._call(environ, route)
        if (max_age := environ.get(MAX_AGE)) is not None:
            response.expires_at = began + max_age
            response.headers.append(REVALIDATE)
        return compress_and_add_etag(response, environ), environ.get(FINE_TAGS, ())

    def _call(self, environ: Environ, route: Route) -> BufferedResponse:
        environ[ROUTE] = route.rule
        token = ENVIRON.set(environ)
        try:
            contract = options_of(route.view).response
            if route.view is None or contract is None or environ["REQUEST_METHOD"] != "GET":
                return call_wsgi(self._flask, environ)
            with self._app_context():
                return call_read(route.view, route.arguments, environ)
        finally:
            ENVIRON.reset(token)
