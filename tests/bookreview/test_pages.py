"""The HTML pages: what they load, and what they must not load."""

import re

import pytest

PAGES = ("/live", "/graphql")
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def directives(page):
    parts = page.headers["Content-Security-Policy"].split("; ")
    return {name: words.split() for name, _, words in (part.partition(" ") for part in parts)}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_other_hosts(shared_client, path):
    page = shared_client.get(path)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "//" not in page.text
    allowed = directives(page)
    assert allowed["default-src"] == ["'none'"]
    for name in ("script-src", "connect-src", "img-src"):
        assert allowed[name] == ["'self'"]
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert allowed[name] == ["'none'"]
    page.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_scripts_or_styles(shared_client, path):
    with shared_client.get(path) as page:
        assert re.findall(r"<style|<script>| style=| on\w+=", page.text) == []


@pytest.mark.parametrize("path", PAGES)
def test_every_file_that_a_page_references_exists(shared_client, path):
    with shared_client.get(path) as page:
        names = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(names) >= 3
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
    assert set(found) == {"live.js", "feed.js", "websocket.js"}


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


@pytest.mark.parametrize("name", ["live.js", "feed.js"])
def test_no_page_waits_forever(shared_client, name):
    with shared_client.get(f"/pages/{name}") as module:
        assert module.text.count("fetch(") == module.text.count("AbortSignal.timeout(") > 0


@pytest.mark.parametrize("path", [*PAGES, "/pages/live.js", "/graphiql/graphiql.min.js"])
def test_unchanged_files_are_not_sent_again(shared_client, path):
    with shared_client.get(path) as first:
        tag = first.headers["ETag"]
    with shared_client.get(path, headers={"If-None-Match": tag}) as again:
        assert (again.status_code, again.data) == (304, b"")


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
    with shared_client.head(path) as head:
        assert (head.status_code, head.data, head.mimetype) == (200, b"", "text/html")
