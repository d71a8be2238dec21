"""Checks of /live with all changes: each appears once, those that are chosen, across a crash."""

import json

from clients.browser.chromium import Page, PageError
from clients.browser.live import STATE, STATUS
from clients.service import Bookstall, review

TYPES = "[...document.querySelectorAll('#reviews > li .type')].map((type) => type.textContent)"
ALL = ["hold.created", "stock.changed", "product.created", "review.created", "book.created"]
CHOICE = "document.querySelector('#kinds input[value={kind}]').click()"
TITLE = "Emma <b>bold</b>"


def write(service: Bookstall, number: int) -> None:
    """Make one change of each kind."""
    book = service.post("/books", {"title": TITLE, "author": "Jane Austen"})["id"]
    service.post(f"/books/{book}/reviews", review(number))
    body = {"sku": f"CHANGES-{number}", "name": "Bookmark", "price": "4.50", "stock_level": 9}
    product = service.post("/products", body)["id"]
    service.post(f"/products/{product}/stock-adjustments", {"delta": -3, "reason": "order 42"})
    service.post(f"/products/{product}/holds", {"quantity": 2, "expires_in": 900})


def check_types(page: Page, expected: list[str]) -> None:
    """Wait until the page shows changes of exactly these types, newest first."""
    page.wait(f"JSON.stringify({TYPES}) === JSON.stringify({json.dumps(expected)})")


def check_changes(page: Page, service: Bookstall, other: Bookstall) -> None:
    """Follow all changes, then some kinds of them, while the service crashes, then more again."""
    page.open(f"{service.address}/live?changes")
    page.wait(f"{STATE} === 'live'")
    write(service, 1)
    check_types(page, ALL)
    if page.value("document.querySelectorAll('#reviews b').length"):
        raise PageError("a title became markup")
    for kind in ("stock", "hold", "product"):
        page.value(CHOICE.format(kind=kind))
    page.wait(f"{STATE} === 'live' && location.search === '?changes=book,review'")
    some = ["review.created", "book.created"]
    check_types(page, some)
    service.crash()
    page.wait(f"{STATE} === 'waiting'")
    write(other, 2)
    service.start()
    page.wait(f"{STATE} === 'live' && {STATUS}.includes('again')", 40)
    write(service, 3)
    check_types(page, some * 3)
    page.value(CHOICE.format(kind="product"))
    page.wait(f"{STATE} === 'live' && location.search === '?changes=book,review,product'")
    write(service, 4)
    page.wait(f"{TYPES}.join().startsWith('product.created,review.created,book.created')")


def check_without_stream(page: Page, service: Bookstall) -> None:
    """Open the page of `wsgi:app`."""
    page.open(f"{service.address}/live?changes=stock")
    page.wait(f"{STATE} === 'waiting' && {STATUS}.includes('no event stream')")
