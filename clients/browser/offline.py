"""GraphiQL and Swagger UI with nothing but this service within reach."""

import json
import time

from clients.browser.chromium import Page, PageError
from clients.shop import Shop, review

QUERY = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
RESULT = "document.querySelector('.result-window .CodeMirror').CodeMirror.getValue()"
HEADERS = """
[...document.querySelectorAll('.graphiql-editor-tools button')]
  .find((button) => button.innerText === 'Headers').click();
"""
LAST = "[...document.querySelectorAll('.graphiql-editor-tool .CodeMirror')].at(-1).CodeMirror"
FETCH = "document.querySelector('[aria-label=\"Re-fetch GraphQL schema\"]').click()"
DOCS = "document.querySelector('[aria-label=\"Show Documentation Explorer\"]').click()"
SCHEMA = "document.querySelector('.graphiql-doc-explorer').innerText.includes('Subscription')"
RUN = "document.querySelector('.graphiql-execute-button').click()"


def opens_docs(page: Page, shop: Shop) -> None:
    """Open Swagger UI, and see its operations."""
    page.open(f"{shop.address}/docs")
    page.wait("document.querySelectorAll('.opblock').length > 5")
    stays_here(page, shop)


def opens_graphiql(page: Page, shop: Shop, book: int) -> None:
    """Open GraphiQL, see the schema, and run one operation of each kind."""
    page.open(f"{shop.address}/graphql")
    page.wait(f"Boolean({QUERY})")
    page.value(DOCS)
    page.wait(SCHEMA)
    runs(page, "{ __schema { queryType { name } } eventCursor }", "eventCursor")
    adds = f'addReview(bookId: {book}, rating: 4, reviewer: "Ana", text: "By GraphiQL") {{ id }}'
    runs(page, f"mutation {{ {adds} }}", '"id"')
    wanted = f"reviewAdded(bookId: {book}) {{ cursor review {{ text }} }}"
    runs(page, f"subscription {{ {wanted} }}", None)
    arrives(page, shop, book)
    stays_here(page, shop)


def takes_a_key(page: Page, shop: Shop, key: str, book: int) -> None:
    """Give GraphiQL a key: it must go along with all, and not into the browser's storage."""
    page.open(f"{shop.address}/graphql")
    page.wait(f"Boolean({QUERY})")
    page.value(HEADERS)
    shown = json.dumps({"Authorization": f"Bearer {key}"})
    page.value(f"{LAST}.setValue({json.dumps(shown)})")
    time.sleep(0.5)
    page.value(FETCH)
    page.value(DOCS)
    page.wait(SCHEMA)
    runs(page, f"subscription {{ reviewAdded(bookId: {book}) {{ review {{ text }} }} }}", None)
    arrives(page, shop, book, key)
    if key in page.value("JSON.stringify(Object.entries(localStorage))"):
        raise PageError("GraphiQL keeps the key")


def runs(page: Page, operation: str, answer: str | None) -> None:
    """Type an operation, run it, and wait for a part of its answer."""
    page.value(f"{QUERY}.setValue({json.dumps(operation)})")
    # What is run is what the editor has told of, a moment later.
    time.sleep(0.5)
    page.value(RUN)
    if answer is not None:
        page.wait(f"{RESULT}.includes({json.dumps(answer)})")


def arrives(page: Page, shop: Shop, book: int, key: str = "") -> None:
    """Post until the subscription, which takes a moment to stand, shows one."""
    for number in range(20):
        shop.post(f"/books/{book}/reviews", review(number, "For GraphiQL"), key)
        try:
            page.wait(f"{RESULT}.includes('For GraphiQL')", 0.5)
        except PageError:
            continue
        return
    raise PageError(f"no event in GraphiQL: {page.value(RESULT)}")


def stays_here(page: Page, shop: Shop) -> None:
    """Check that the page asked only this service, and complained of nothing."""
    here = (shop.address, shop.address.replace("http", "ws"), "data:", "blob:", "about:")
    elsewhere = [url for url in page.requests if not url.startswith(here)]
    if elsewhere or page.complaints:
        raise PageError(f"elsewhere: {elsewhere}, complaints: {page.complaints}")
