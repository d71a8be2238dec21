"""The HTML pages: /live shows new reviews as they arrive, GET /graphql is GraphiQL."""

from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from app.errors import NotAcceptable
from app.http.accept import HTML, negotiate

bp = Blueprint("pages", __name__)
STATIC = Path(__file__).parent / "static"
# 'self' includes WebSockets of the same host and port.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# GraphiQL's style sheet contains its fonts as data URLs.
GRAPHIQL_POLICY = f"{CONTENT_SECURITY_POLICY}; font-src data:"


@bp.get("/live")
def live() -> Response:
    """Return the page that shows a book's new reviews as they arrive."""
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
    return send_from_directory(Path(str(files(package))) / "static" / package, name, max_age=86_400)


def _page(name: str, policy: str) -> Response:
    page = send_from_directory(STATIC, name)
    page.headers["Content-Security-Policy"] = policy
    return page
