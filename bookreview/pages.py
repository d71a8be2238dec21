"""The HTML pages.

/ introduces the service, /live shows new reviews or all changes, GET /graphql is GraphiQL.
"""

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from app.errors import NotAcceptable
from app.http.accept import HTML, JSON, negotiate
from app.json import encode

bp = Blueprint("pages", __name__)
STATIC = Path(__file__).parent / "static"
# 'self' includes WebSockets of the same host and port.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# GraphiQL's style sheet contains its fonts as data URLs.
GRAPHIQL_POLICY = f"{CONTENT_SECURITY_POLICY}; font-src data:"
DAY = 86_400
LINKS = {
    "books": "/books",
    "products": "/products",
    "product_search": "/products/search",
    "figures": "/figures",
    "changes": "/changes",
    "graphql": "/graphql",
    "live": "/live",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/healthz",
    "readiness": "/readyz",
}
"""Where to go from the landing page, as JSON."""


@bp.get("/")
def landing() -> Response:
    """Return the landing page; its links to clients that do not name HTML."""
    kind = negotiate(request.environ.get("HTTP_ACCEPT", ""), HTML, JSON)
    if kind is None:
        raise NotAcceptable(f"This resource is available as {HTML} or {JSON} only.")
    if kind == HTML:
        page = _page("landing.html", CONTENT_SECURITY_POLICY)
    else:
        document = {"name": "Bookstall", "version": version("bookstall"), "links": LINKS}
        page = Response(encode(document), mimetype=JSON)
    page.headers["Vary"] = "Accept"
    return page


@bp.get("/favicon.ico")
def favicon() -> Response:
    """Return the icon, for pages without a link to it and for browsers that show plain JSON."""
    return send_from_directory(STATIC, "favicon.ico", max_age=DAY)


@bp.get("/live")
def live() -> Response:
    """Return the page that shows new reviews, or all changes, as they arrive."""
    return _page("live.html", CONTENT_SECURITY_POLICY)


@bp.get("/graphql")
def graphiql() -> Response:
    """Return the GraphiQL page; operations are sent by POST."""
    if negotiate(request.environ.get("HTTP_ACCEPT", ""), HTML) is None:
        raise NotAcceptable("GET returns a page as text/html only; send operations by POST.")
    page = _page("graphiql.html", GRAPHIQL_POLICY)
    page.headers["Vary"] = "Accept"
    return page


@bp.get("/pages/<path:name>")
def page_file(name: str) -> Response:
    """Return a static file of the pages."""
    return send_from_directory(STATIC, name)


@bp.get("/graphiql/<path:name>")
def graphiql_file(name: str) -> Response:
    """Return a static file of the GraphiQL package."""
    package = "graphene_django_graphiql_static"
    return send_from_directory(Path(str(files(package))) / "static" / package, name, max_age=DAY)


def _page(name: str, policy: str) -> Response:
    page = send_from_directory(STATIC, name)
    page.headers["Content-Security-Policy"] = policy
    return page
