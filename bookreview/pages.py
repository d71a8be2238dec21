"""The pages for people: /live shows reviews as they arrive, GET /graphql is GraphiQL."""

from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from app.errors import NotAcceptable

bp = Blueprint("pages", __name__)
OURS = Path(__file__).parent / "static"
# 'self' is also the WebSocket of this same host and port.
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# GraphiQL's fonts stand in its style sheet.
GRAPHIQL = f"{STRICT}; font-src data:"


@bp.get("/live")
def live() -> Response:
    """Show a book's reviews as they arrive."""
    return _page("live.html", STRICT)


@bp.get("/graphql")
def graphiql() -> Response:
    """Show GraphiQL; operations are sent by POST."""
    accepted = request.accept_mimetypes
    if accepted.provided and not accepted["text/html"]:
        raise NotAcceptable("GET gives a page, as text/html; operations are sent by POST.")
    page = _page("graphiql.html", GRAPHIQL)
    page.headers["Vary"] = "Accept"
    return page


@bp.get("/pages/<path:name>")
def page_file(name: str) -> Response:
    """Give a file of our own that a page needs."""
    return send_from_directory(OURS, name)


@bp.get("/graphiql/<path:name>")
def graphiql_file(name: str) -> Response:
    """Give a file of GraphiQL, as its package has it."""
    package = "graphene_django_graphiql_static"
    return send_from_directory(Path(str(files(package))) / "static" / package, name, max_age=86_400)


def _page(name: str, protection: str) -> Response:
    page = send_from_directory(OURS, name)
    page.headers["Content-Security-Policy"] = protection
    return page
