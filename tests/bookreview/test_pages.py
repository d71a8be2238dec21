"""The HTML pages: what they load, what they must not load, and what they link."""

import html
import re
import shlex

import pytest
from graphql import parse, validate

from app.config import Rate
from app.events.models import TYPES
from app.factory import schema
from bookreview.pages import LINKS
from tests.waiting import wait_until

PAGES = ("/", "/live", "/graphql")
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
EXAMPLE = "http://127.0.0.1:8000"
"""The address in the commands of the landing page, until its script replaces it."""
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def directives(page):
    parts = page.headers["Content-Security-Policy"].split("; ")
    return {name: words.split() for name, _, words in (part.partition(" ") for part in parts)}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_other_hosts(shared_client, path):
    page = shared_client.get(path, headers=BROWSER)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "//" not in page.text.replace(EXAMPLE, "")
    allowed = directives(page)
    assert allowed["default-src"] == ["'none'"]
    for name in ("script-src", "connect-src", "img-src"):
        assert allowed[name] == ["'self'"]
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert allowed[name] == ["'none'"]
    page.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_scripts_or_styles(shared_client, path):
    with shared_client.get(path, headers=BROWSER) as page:
        assert re.findall(r"<style|<script>| style=| on\w+=", page.text) == []


@pytest.mark.parametrize("path", PAGES)
def test_every_file_that_a_page_references_exists(shared_client, path):
    with shared_client.get(path, headers=BROWSER) as page:
        names = re.findall(r'(?:src="|<link .*href=")([^"]+)"', page.text)
    assert len(names) >= 3
    assert "pages/icon.svg" in names
    for name in names:
        with shared_client.get(f"/{name}") as response:
            kind = KINDS[name.rpartition(".")[2]]
            assert (response.status_code, response.mimetype) == (200, kind), name


def test_the_modules_of_the_live_page_import_existing_files(shared_client):
    found = ["live.js"]
    for name in found:
        with shared_client.get(f"/pages/{name}") as module:
            assert module.status_code == 200
            found += re.findall(r'^import .* from "./(.+)";', module.text, re.MULTILINE)
    assert set(found) == {"live.js", "changes.js", "feed.js", "websocket.js"}


def test_the_live_page_detects_an_unknown_book_by_its_code(client, book):
    with client.get("/pages/feed.js") as module:
        query = re.search(r"LIST_QUERY = `([^`]+)`", module.text)[1]
        code = re.search(r'"(\w+)"\) return this.notFound', module.text)[1]
    asked = {"query": query, "variables": {"book": str(book())}}
    found = client.post("/graphql", json=asked).json
    assert found["data"]["book"]
    for unknown in ("99", "abc"):
        response = client.post("/graphql", json={**asked, "variables": {"book": unknown}}).json
        # The list is non-null, so data is null, and the page looks at the first error.
        assert response["data"] is None
        assert {error["extensions"]["code"] for error in response["errors"]} == {code}


def test_the_operations_of_the_live_page_are_valid(client, book, review):
    review(book(title="Emma"))
    with client.get("/pages/feed.js") as module:
        operations = re.findall(r"^const (\w+) = `([^`]+)`;", module.text, re.MULTILINE)
    assert len(operations) == 3
    for _, operation in operations:
        assert validate(schema, parse(operation)) == []
    asked = {"query": dict(operations)["LIST_OF_ALL_QUERY"]}
    [shown] = client.post("/graphql", json=asked).json["data"]["reviews"]["nodes"]
    assert shown["bookTitle"] == "Emma"


def test_the_live_page_knows_every_type_of_event(shared_client):
    with shared_client.get("/pages/changes.js") as module:
        shown = re.search(r"CHANGES = ({.+?});", module.text, re.DOTALL)[1]
    pairs = re.findall(r"(\w+): \[(.+?)\]", shown)
    types = [f"{kind}.{change}" for kind, found in pairs for change in re.findall(r"\w+", found)]
    assert types == list(TYPES)
    with shared_client.get("/live", headers=BROWSER) as page:
        kinds = re.findall(r'type="checkbox" value="(\w+)"', page.text)
    assert kinds == [kind for kind, _ in pairs]


@pytest.mark.parametrize("name", ["landing.js", "live.js", "feed.js", "changes.js"])
def test_no_page_waits_forever(shared_client, name):
    with shared_client.get(f"/pages/{name}") as module:
        assert module.text.count("fetch(") == module.text.count("AbortSignal.timeout(") > 0


@pytest.mark.parametrize(
    "path", [*PAGES, "/favicon.ico", "/pages/live.js", "/graphiql/graphiql.min.js"]
)
def test_unchanged_files_are_not_sent_again(shared_client, path):
    with shared_client.get(path, headers=BROWSER) as first:
        tag = first.headers["ETag"]
    with shared_client.get(path, headers={**BROWSER, "If-None-Match": tag}) as again:
        assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("accept", ["text/html", BROWSER["Accept"], "text/html;q=0.1"])
def test_the_landing_page_is_returned_to_clients_that_name_html(shared_client, accept):
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    with shared_client.get("/", headers=headers) as page:
        assert page.mimetype == "text/html"
        assert page.headers["Content-Encoding"] == "gzip"
        assert page.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json,text/html;q=0.9", "*/*", None]
)
def test_other_clients_get_the_links_of_the_landing_page(shared_client, accept):
    response = shared_client.get("/", headers={"Accept": accept} if accept else {})
    assert response.mimetype == "application/json"
    assert response.headers["Vary"] == "Accept"
    assert response.json["links"] == LINKS
    etag = response.headers["ETag"]
    again = shared_client.get("/", headers={"Accept": accept or "*/*", "If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")


def test_the_landing_page_is_neither_a_picture_nor_a_resource_that_can_change(shared_client):
    refused = shared_client.get("/", headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert "application/json" in refused.json["detail"]
    refused = shared_client.post("/", json={})
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert shared_client.get("/unknown", headers=BROWSER).status_code == 404


def linked(shared_client):
    """Return the paths that the landing page links, as it is sent to browsers."""
    with shared_client.get("/", headers=BROWSER) as page:
        return [html.unescape(path) for path in re.findall(r'<a href="([^"]+)"', page.text)]


def test_every_link_and_every_command_of_the_landing_page_works(client, book):
    book()
    for path in {*linked(client), *(link.removeprefix("/") for link in LINKS.values())}:
        query = "?name=book" if path == "products/search" else ""
        with client.get(f"/{path}{query}", headers=BROWSER) as response:
            assert response.status_code == 200, path
    with client.get("/", headers=BROWSER) as page:
        commands = [
            html.unescape(re.sub("<.+?>", "", command)).replace("\\\n", "")
            for command in re.findall(r"<code>(curl .+?)</code>", page.text, re.DOTALL)
        ]
    assert len(commands) == 3
    for command in commands:
        url, *options = shlex.split(command)[1:]
        path = url.removeprefix(EXAMPLE)
        if options:
            assert options[::2] == ["-H", "-d"]
            name, _, value = options[1].partition(": ")
            response = client.post(path, data=options[3], headers={name: value})
        else:
            assert path.removeprefix("/") in linked(client)
            response = client.get(path)
        assert response.status_code == (201 if options else 200), command


def test_the_pages_do_not_need_the_database(make_app):
    without = make_app("postgresql://u@127.0.0.1:1/none").test_client()
    for path in (*PAGES, "/favicon.ico"):
        with without.get(path, headers=BROWSER) as page:
            assert page.status_code == 200
    assert without.get("/").json["links"] == LINKS


def test_a_visit_counts_as_a_read(make_app, sqlite_database):
    client = make_app(sqlite_database, rate_limit_read=Rate(1, 60)).test_client()
    with client.get("/", headers=BROWSER) as page:
        assert page.headers["RateLimit"].startswith('"read";r=0')
    assert client.get("/", headers=BROWSER).status_code == 429


def test_under_each_worker_the_landing_page_follows_the_conventions(served):
    for accept, kind in ((BROWSER["Accept"], "text/html"), ("*/*", "application/json")):
        headers = {"Accept": accept, "X-Request-ID": "landing"}
        status, shown, body = served.request("GET", "/", **headers)
        assert (status, shown.get_content_type()) == (200, kind)
        assert shown["X-Request-ID"] == "landing"
        status, head, nothing = served.request("HEAD", "/", **headers)
        assert (status, nothing) == (200, b"")
        assert (head["ETag"], head["Content-Length"]) == (shown["ETag"], str(len(body)))
        status, _, nothing = served.request("GET", "/", **headers, If_None_Match=shown["ETag"])
        assert (status, nothing) == (304, b"")
    status, refused, _ = served.request("DELETE", "/")
    assert (status, refused["Allow"]) == (405, "GET, HEAD, OPTIONS")
    counted = b'route="/",status="200"'
    wait_until(lambda: counted in served.request("GET", "/metrics")[2])


@pytest.mark.parametrize("path", ["/favicon.ico", "/pages/icon.svg"])
def test_the_icon_is_a_picture_for_every_page(shared_client, path):
    with shared_client.get(path) as icon:
        assert icon.status_code == 200
        assert icon.mimetype.startswith("image/")
    with shared_client.get("/docs") as page:
        assert "pages/icon.svg" in page.text


def test_browsers_keep_the_icon_that_they_request_for_every_page(shared_client):
    with shared_client.get("/favicon.ico") as icon:
        assert "max-age=86400" in icon.headers["Cache-Control"]
        assert icon.data.startswith(b"\0\0\1\0")  # the header of an ICO file


@pytest.mark.parametrize("accept", ["text/html", "text/html,*/*;q=0.8", "*/*", None])
def test_graphiql_is_returned_to_clients_that_accept_html(shared_client, accept):
    with shared_client.get("/graphql", headers={"Accept": accept} if accept else {}) as page:
        assert page.mimetype == "text/html"
        assert "Accept" in page.headers["Vary"]


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
def test_a_get_that_accepts_only_json_is_told_to_post(shared_client, accept):
    response = shared_client.get("/graphql", headers={"Accept": accept})
    assert response.status_code == 406
    assert "POST" in response.json["detail"]


@pytest.mark.parametrize(
    "path", ["/pages/none.js", "/pages/../pages.py", "/graphiql/../views.py", "/graphiql/%2e%2e/x"]
)
def test_only_the_files_of_the_pages_are_served(shared_client, path):
    assert shared_client.get(path).status_code == 404


@pytest.mark.parametrize("path", PAGES)
def test_head_of_a_page_equals_get_without_the_body(shared_client, path):
    with shared_client.head(path, headers=BROWSER) as head:
        assert (head.status_code, head.data, head.mimetype) == (200, b"", "text/html")
