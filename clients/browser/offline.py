"""Checks of GraphiQL and Swagger UI in a browser that reaches only this service."""

import json
import time

from clients.browser.chromium import Page, PageError
from clients.service import Bookstall, review

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


BLOCKS = "[...document.querySelectorAll('.opblock-post, .opblock-patch')]"
"""The operations that write; most have a body."""
STATUS = "%s.querySelector('.live-responses-table tbody .response-col_status')"
"""The first cell of the table of the response of a block is its status."""


def check_docs(page: Page, service: Bookstall) -> None:
    """Open Swagger UI, and send the body that it proposes for each operation as it is."""
    page.open(f"{service.address}/docs")
    page.wait("document.querySelectorAll('.opblock').length > 5")
    for number in range(page.value(f"{BLOCKS}.length")):
        block = f"{BLOCKS}[{number}]"
        for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
            page.wait(f"Boolean({block}.querySelector('{button}'))")
            page.value(f"{block}.querySelector('{button}').click()")
        page.wait(f"Boolean({STATUS % block})")
        status = page.value(f"{STATUS % block}.innerText")
        if not status.startswith("2"):
            raise PageError(f"{status}: {page.value(f'{block}.innerText')}")
    check_requests(page, service)


def check_graphiql(page: Page, service: Bookstall, book: int) -> None:
    """Open GraphiQL, wait for the schema, and run one operation of each kind."""
    page.open(f"{service.address}/graphql")
    page.wait(f"Boolean({QUERY})")
    page.value(DOCS)
    page.wait(SCHEMA)
    run(page, "{ __schema { queryType { name } } eventCursor }", "eventCursor")
    mutation = (
        f'addReview(bookId: {book}, rating: 4, reviewer: "Ana", text: "By GraphiQL") {{ id }}'
    )
    run(page, f"mutation {{ {mutation} }}", '"id"')
    subscription = f"reviewAdded(bookId: {book}) {{ cursor review {{ text }} }}"
    run(page, f"subscription {{ {subscription} }}", None)
    check_event(page, service, book)
    check_requests(page, service)


def check_key(page: Page, service: Bookstall, key: str, book: int) -> None:
    """Enter a key in GraphiQL: it must be sent, and not be stored in the browser."""
    page.open(f"{service.address}/graphql")
    page.wait(f"Boolean({QUERY})")
    page.value(HEADERS)
    headers = json.dumps({"Authorization": f"Bearer {key}"})
    page.value(f"{LAST}.setValue({json.dumps(headers)})")
    time.sleep(0.5)
    page.value(FETCH)
    page.value(DOCS)
    page.wait(SCHEMA)
    run(page, f"subscription {{ reviewAdded(bookId: {book}) {{ review {{ text }} }} }}", None)
    check_event(page, service, book, key)
    if key in page.value("JSON.stringify(Object.entries(localStorage))"):
        raise PageError("GraphiQL stores the key")


def run(page: Page, operation: str, expected: str | None) -> None:
    """Enter an operation, run it, and wait for a part of its response."""
    page.value(f"{QUERY}.setValue({json.dumps(operation)})")
    # The editor publishes its text after a short delay.
    time.sleep(0.5)
    page.value(RUN)
    if expected is not None:
        page.wait(f"{RESULT}.includes({json.dumps(expected)})")


def check_event(page: Page, service: Bookstall, book: int, key: str = "") -> None:
    """Post until the subscription, which starts after a moment, shows a review."""
    for number in range(20):
        service.post(f"/books/{book}/reviews", review(number, "For GraphiQL"), key)
        try:
            page.wait(f"{RESULT}.includes('For GraphiQL')", 0.5)
        except PageError:
            continue
        return
    raise PageError(f"no event in GraphiQL: {page.value(RESULT)}")


def check_requests(page: Page, service: Bookstall) -> None:
    """Check that the page has sent requests only to this service, and logged no error."""
    own = (service.address, service.address.replace("http", "ws"), "data:", "blob:", "about:")
    foreign = [url for url in page.requests if not url.startswith(own)]
    if foreign or page.errors:
        raise PageError(f"foreign: {foreign}, errors: {page.errors}")
