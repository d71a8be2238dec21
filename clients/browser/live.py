"""Checks of /live: each review appears within a second, exactly once, and with all books first."""

import json
import statistics
import time
from collections.abc import Callable
from itertools import count

import click
from sqlalchemy import text

from clients.browser.chromium import Page, PageError
from clients.service import Bookstall, review
from stress.data import create_unpooled_engine

STATE = "document.getElementById('state').dataset.state"
STATUS = "document.getElementById('status').textContent"
TITLES = "[...document.querySelectorAll('#reviews > li .book')].map((link) => link.textContent)"
SHOWN = "[...document.querySelectorAll('#reviews > li')].map((item) => Number(item.id.slice(7)))"
# Records when each review appeared, by the clock that the poster uses too.
RECORD_TIMES = """
window.seenAt = {};
new MutationObserver((changes) => {
  for (const change of changes)
    for (const item of change.addedNodes)
      window.seenAt[item.id] = performance.timeOrigin + performance.now();
}).observe(document.getElementById("reviews"), { childList: true });
true
"""
NUMBERS = count(1)
SECOND = 1_000  # ms


class LivePage:
    """A page that shows one book, and the reviews that were posted for it."""

    def __init__(self, page: Page, service: Bookstall, other: Bookstall) -> None:
        self.page, self.service, self.other = page, service, other
        self.book = other.post("/books", {"title": "The Tempest", "author": "Shakespeare"})["id"]
        self.posted: list[int] = []

    def post(self, service: Bookstall | None = None, words: str = "") -> int:
        """Add a review through a service, and return its id."""
        path = f"/books/{self.book}/reviews"
        target = service or self.service
        self.posted.append(target.post(path, review(next(NUMBERS), words))["id"])
        return self.posted[-1]

    def open(self) -> None:
        """Open the page with the book."""
        self.page.open(f"{self.service.address}/live?book={self.book}")
        self.page.wait(f"{STATE} === 'live'")

    def check_reviews(self) -> None:
        """Wait until the page shows exactly the posted reviews, newest first."""
        expected = json.dumps(self.posted[::-1])
        self.page.wait(f"JSON.stringify({SHOWN}) === JSON.stringify({expected})")
        time.sleep(0.5)  # a duplicate would arrive now
        if self.page.value(SHOWN) != self.posted[::-1]:
            raise PageError(f"shown: {self.page.value(SHOWN)}, posted: {self.posted[::-1]}")


def check_arrival(live_page: LivePage) -> None:
    """Post reviews, and print how long each took to appear."""
    live_page.open()
    live_page.page.value(RECORD_TIMES)
    latencies = []
    for _ in range(20):
        began = time.time() * 1_000
        number = live_page.post()
        seen = live_page.page.wait(f"window.seenAt['review-{number}']")
        latencies.append(seen - began)
    live_page.check_reviews()
    middle, longest = statistics.median(latencies), max(latencies)
    click.echo(f"  from the request of 20 posts: median {middle:.0f} ms, longest {longest:.0f} ms")
    if longest > SECOND:
        raise PageError(f"a review took {longest:.0f} ms to appear")


def check_markup(live_page: LivePage) -> None:
    """Post a text that would run a script if it became markup."""
    words = "<img src=x onerror=\"document.title='run'\"> <b>bold</b>"
    number = live_page.post(words=words)
    live_page.page.wait(
        f"document.querySelector('#review-{number} p').textContent === {json.dumps(words)}"
    )
    if live_page.page.value("document.querySelectorAll('#reviews img, #reviews b').length"):
        raise PageError("a review's text became markup")


def check_resume(live_page: LivePage, stop: Callable[[], None], missed: int = 7) -> None:
    """Stop the service, add reviews through the other one, and start it again."""
    stop()
    live_page.page.wait(f"{STATE} === 'waiting'")
    for _ in range(missed):
        live_page.post(live_page.other)
    live_page.service.start()
    began = time.monotonic()
    live_page.page.wait(f"{STATE} === 'live'", 40)
    click.echo(
        f"  live {time.monotonic() - began:.1f} s after the start: “{live_page.page.value(STATUS)}”"
    )
    live_page.page.wait(f"{STATUS}.includes('{missed} missed')")
    live_page.check_reviews()
    live_page.post()
    live_page.check_reviews()


def check_reload(live_page: LivePage, url: str) -> None:
    """Start the service again when the event after the page's cursor is no longer stored."""
    live_page.service.stop()
    live_page.page.wait(f"{STATE} === 'waiting'")
    live_page.post(live_page.other)
    engine = create_unpooled_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM event"))
    live_page.post(live_page.other)
    live_page.service.start()
    live_page.page.wait(f"{STATE} === 'live' && {STATUS}.includes('reloaded')", 40)
    live_page.check_reviews()
    live_page.post()
    live_page.check_reviews()


def check_all_books(page: Page, service: Bookstall, other: Bookstall) -> None:
    """Follow all books over a restart, then one of them, then all again."""
    titles = ["Emma <i>", "Persuasion"]
    books = [other.post("/books", {"title": t, "author": "Jane Austen"})["id"] for t in titles]
    posted: list[tuple[int, str]] = []

    def post(target: Bookstall) -> None:
        for book, title in zip(books, titles, strict=True):
            path = f"/books/{book}/reviews"
            posted.insert(0, (target.post(path, review(next(NUMBERS)))["id"], title))

    def check(already: int) -> None:
        expected = json.dumps([list(pair) for pair in zip(*posted, strict=True)])
        shown = f"[{SHOWN}, {TITLES}].map((list) => list.slice(0, {len(posted)}))"
        page.wait(f"JSON.stringify({shown}) === JSON.stringify({expected})")
        news = "document.querySelectorAll('#reviews > li.new').length"
        if page.value(news) != len(posted) - already:
            raise PageError(f"{page.value(news)} new reviews, not {len(posted) - already}")

    post(service)
    page.open(f"{service.address}/live")
    page.wait(f"{STATE} === 'live'")
    check(len(posted))
    post(service)
    check(2)
    service.stop()
    page.wait(f"{STATE} === 'waiting'")
    post(other)
    service.start()
    page.wait(f"{STATE} === 'live' && {STATUS}.includes('2 missed')", 40)
    check(2)
    page.value("document.querySelector('#reviews .book').click()")
    page.wait(f"{STATE} === 'live' && location.search === '?book={books[1]}'")
    of_one = [number for number, _ in posted[::2]]
    page.wait(f"JSON.stringify({SHOWN}) === JSON.stringify({of_one})")
    page.value("document.getElementById('all').click()")
    page.wait(f"{STATE} === 'live' && location.search === ''")
    check(len(posted))


def check_keyboard(live_page: LivePage) -> None:
    """Find the book and add a review without a mouse."""
    live_page.page.open(f"{live_page.service.address}/live")
    live_page.page.wait("document.querySelectorAll('#books button').length")
    while live_page.page.value("document.activeElement.id") != "q":
        live_page.page.press("Tab", 9)
    live_page.page.type("tempest")
    live_page.page.wait("document.querySelectorAll('#books button').length === 1")
    live_page.page.press("Tab", 9)
    live_page.page.press("Enter", 13, "\r")
    live_page.page.wait(f"{STATE} === 'live' && document.activeElement.id === 'title'")
    for typed in ("", "Ana", "Read in one night."):
        live_page.page.press("Tab", 9)
        live_page.page.type(typed)
    live_page.page.press("Tab", 9)
    live_page.page.press("Enter", 13, "\r")
    new = "document.querySelector('#reviews li.new')"
    live_page.page.wait(f"{new}.textContent.includes('Read in one night.')")
    live_page.posted.append(live_page.page.value(f"Number({new}.id.slice(7))"))


def check_key(page: Page, service: Bookstall, key: str, book: int) -> None:
    """Open the page without a key, then type it in."""
    page.open(f"{service.address}/live?book={book}")
    page.wait(f"{STATE} === 'stopped' && {STATUS}.includes('key')")
    page.value("document.getElementById('key').focus()")
    page.type(key)
    page.press("Tab", 9)
    page.wait(f"{STATE} === 'live'")


def check_without_websocket(page: Page, service: Bookstall, book: int) -> None:
    """Open the page of `wsgi:app`."""
    page.open(f"{service.address}/live?book={book}")
    page.wait(f"{STATE} === 'waiting' && {STATUS}.includes('no WebSocket')")
