"""CORS: which sites' pages may call this service and read its responses (ALLOWED_ORIGINS).

The headers are added after the cache, so all sites share one entry.
"""

from collections.abc import Collection, Iterable

from app.http.response import BufferedResponse, Environ, Headers, add_vary

ALLOWED_HEADERS = (
    "Accept",
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Range",
    "traceparent",
    "tracestate",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Allow",
    "Cache-Status",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
MAX_AGE_SECONDS = 7_200
"""How long a browser keeps the response to a preflight; Chromium keeps none for longer."""
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")
EXPOSE = ("Access-Control-Expose-Headers", ", ".join(EXPOSED_HEADERS))
PREFLIGHT = (
    ("Access-Control-Allow-Headers", ", ".join(ALLOWED_HEADERS)),
    ("Access-Control-Max-Age", str(MAX_AGE_SECONDS)),
)


class Cors:
    """The policy for other sites: none, some origins, or any (``*``), then without credentials."""

    def __init__(self, allowed_origins: Collection[str]) -> None:
        self._allowed = frozenset(allowed_origins)
        self._allows_any = "*" in self._allowed

    def allows(self, origin: str) -> bool:
        """Return whether pages of ``origin`` may call; compared as browsers do, byte by byte."""
        return self._allows_any or origin in self._allowed

    def is_preflight(self, environ: Environ) -> bool:
        """Return whether a browser asks if it may send another request."""
        return (
            bool(self._allowed)
            and environ["REQUEST_METHOD"] == "OPTIONS"
            and "HTTP_ORIGIN" in environ
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        )

    def preflight(self, environ: Environ, methods: Iterable[str]) -> BufferedResponse:
        """Respond to a preflight for a resource that supports ``methods``."""
        if not self.allows(environ["HTTP_ORIGIN"]):
            return BufferedResponse("204 NO CONTENT", [], b"")
        allowed = ("Access-Control-Allow-Methods", ", ".join(sorted(methods)))
        return BufferedResponse("204 NO CONTENT", [allowed, *PREFLIGHT], b"")

    def add_headers(self, headers: Headers, environ: Environ) -> None:
        """Add what lets the page that sent the request read the response."""
        if self._allows_any:
            headers += ((ALLOW_ORIGIN, "*"), EXPOSE)
        elif self._allowed:
            # On every response: a browser's cache must not hand one site's copy to another site.
            add_vary(headers, "Origin")
            origin = environ.get("HTTP_ORIGIN")
            if origin in self._allowed:
                headers += ((ALLOW_ORIGIN, origin), CREDENTIALS, EXPOSE)
