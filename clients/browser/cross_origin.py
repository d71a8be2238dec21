"""Checks of CORS: what a page of another site can send to the service and read from it."""

import json
from typing import Any

from clients.browser.chromium import Page, PageError
from clients.service import Bookstall, review

FETCH = """
fetch({url}, {options}).then(
  async (response) => ({{
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  }}),
  (error) => ({{ error: String(error) }}),
)
"""
EVENTS = """
window.received = [];
window.source = new EventSource({url});
window.source.addEventListener("next", (event) => window.received.push(event.data));
new Promise((resolve, reject) => {{
  window.source.onopen = () => resolve(true);
  window.source.onerror = () => reject("the stream was refused");
}})
"""
READ_STREAM = """
fetch({url}, {options}).then(async (response) => {{
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("event: complete")) text += (await reader.read()).value;
  return {{ limit: response.headers.get("RateLimit"), text }};
}})
"""
JSON = {"Content-Type": "application/json"}
READABLE = ("etag", "ratelimit", "ratelimit-policy", "cache-status", "x-request-id")


def open_page(page: Page, site: Bookstall) -> None:
    """Open a page of another site; of another port is enough for a browser."""
    page.open(f"{site.address}/healthz")
    page.wait(f"location.href === '{site.address}/healthz'")


def fetch(page: Page, url: str, **options: Any) -> Any:
    """Return status, readable headers and body of a request of the page, or its error."""
    return page.value(FETCH.format(url=json.dumps(url), options=json.dumps(options)))


def expect(what: str, found: Any, expected: Any) -> None:
    """Raise PageError unless both are equal."""
    if found != expected:
        raise PageError(f"{what}: {found!r}, not {expected!r}")


def check_allowed(page: Page, site: Bookstall, service: Bookstall, key: str) -> None:
    """Read, write and follow reviews from a page of ``site``, which the service allows."""
    product = service.post("/products", {"sku": "CORS-1", "name": "Lamp", "price": "5.00"}, key)
    url = f"{service.address}/products/{product['id']}"
    open_page(page, site)
    for _ in range(2):  # the second time the browser has an ETag, and the service responds 304
        read = fetch(page, url, credentials="include", cache="no-cache")
        expect("the status of a read", read.get("status"), 200)
        missing = [name for name in READABLE if name not in read["headers"]]
        expect("the headers that cannot be read", missing, [])
    headers = {**JSON, "If-Match": read["headers"]["etag"], "Authorization": f"Bearer {key}"}
    body = json.dumps({"price": "6.00"})
    changed = fetch(page, url, method="PATCH", headers=headers, body=body, credentials="include")
    expect("the status of a write", changed.get("status"), 200)
    lost = fetch(page, url, method="PATCH", headers=headers, body=body)
    expect("the status of a write that lost", lost.get("status"), 412)
    expect("its problem document", json.loads(lost["body"])["status"], 412)
    wrong = fetch(page, url, headers={"Authorization": "Bearer wrong"})
    expect("the status of a wrong key", wrong.get("status"), 401)
    unknown = fetch(page, f"{service.address}/nonsense", method="DELETE", headers=JSON)
    expect("the status of an unknown path", unknown.get("status"), 404)


def check_streams(page: Page, service: Bookstall, key: str) -> None:
    """Follow reviews by EventSource and by fetch, from the page that is open."""
    book = service.post("/books", {"title": "Emma", "author": "Jane Austen"}, key)["id"]
    query = f"subscription {{ reviewAdded(bookId: {book}) {{ review {{ text }} }} }}"
    stream = f"{service.address}/graphql/stream"
    page.value(f"window.url = new URL({json.dumps(stream)})")
    page.value(f"window.url.searchParams.set('query', {json.dumps(query)})")
    page.value(EVENTS.format(url="window.url"))
    service.post(f"/books/{book}/reviews", review(1, "across origins"), key)
    page.wait("window.received.join().includes('across origins')")
    page.value("window.source.close()")
    options = {
        "method": "POST",
        "headers": {**JSON, "Accept": "text/event-stream", "Authorization": f"Bearer {key}"},
        "body": json.dumps({"query": "{ __typename }"}),
    }
    url = json.dumps(stream)
    result = page.value(READ_STREAM.format(url=url, options=json.dumps(options)))
    expect("an event", '"__typename":"Query"' in result["text"], True)
    expect("the limit of a stream", str(result["limit"]).startswith('"read";'), True)


def check_refused(page: Page, site: Bookstall, service: Bookstall) -> None:
    """Try the same from a page of ``site``, which the service does not allow."""
    open_page(page, site)
    for path in ("/books", "/healthz", "/graphql/stream?query={__typename}"):
        read = fetch(page, service.address + path)
        expect(f"{path} from another site", read, {"error": "TypeError: Failed to fetch"})
    write = fetch(page, f"{service.address}/books", method="POST", headers=JSON, body="{}")
    expect("a write from another site", write, {"error": "TypeError: Failed to fetch"})


def check_any(page: Page, site: Bookstall, service: Bookstall) -> None:
    """Read without credentials from a page of ``site``, as any site may."""
    open_page(page, site)
    read = fetch(page, f"{service.address}/books", headers={"X-Request-ID": "any-site"})
    expect("the status for any site", read.get("status"), 200)
    expect("the request id", read["headers"]["x-request-id"], "any-site")
    read = fetch(page, f"{service.address}/books", credentials="include")
    expect("credentials of any site", read, {"error": "TypeError: Failed to fetch"})
