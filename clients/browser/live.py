"""What is to be seen on /live: reviews within a second, none missed, none twice."""

import json
import statistics
import time
from collections.abc import Callable
from itertools import count

import click
from sqlalchemy import text

from clients.browser.chromium import Page, PageError
from clients.shop import Shop, review
from stress.data import create_unpooled_engine

STATE = "document.getElementById('state').dataset.state"
SAID = "document.getElementById('said').textContent"
SHOWN = "[...document.querySelectorAll('#reviews > li')].map((line) => Number(line.id.slice(7)))"
# Notes when each review came into view, by the clock that the poster looks at too.
CLOCK = """
window.seenAt = {};
new MutationObserver((changes) => {
  for (const change of changes)
    for (const line of change.addedNodes)
      window.seenAt[line.id] = performance.timeOrigin + performance.now();
}).observe(document.getElementById("reviews"), { childList: true });
true
"""
NUMBERS = count(1)
SECOND = 1_000  # ms


class Watch:
    """A page that shows one book, and the reviews that were posted to it."""

    def __init__(self, page: Page, shop: Shop, other: Shop) -> None:
        self.page, self.shop, self.other = page, shop, other
        self.book = other.post("/books", {"title": "The Tempest", "author": "Shakespeare"})["id"]
        self.posted: list[int] = []

    def post(self, shop: Shop | None = None, words: str = "") -> int:
        """Add a review through a service, and return its id."""
        path = f"/books/{self.book}/reviews"
        self.posted.append((shop or self.shop).post(path, review(next(NUMBERS), words))["id"])
        return self.posted[-1]

    def open(self) -> None:
        """Open the page on the book."""
        self.page.open(f"{self.shop.address}/live?book={self.book}")
        self.page.wait(f"{STATE} === 'live'")

    def all_there(self) -> None:
        """Wait until the page shows exactly what was posted, newest first."""
        wanted = json.dumps(self.posted[::-1])
        self.page.wait(f"JSON.stringify({SHOWN}) === JSON.stringify({wanted})")
        time.sleep(0.5)  # what came twice would come now
        if self.page.value(SHOWN) != self.posted[::-1]:
            raise PageError(f"shown: {self.page.value(SHOWN)}, posted: {self.posted[::-1]}")


def arrives_at_once(watch: Watch) -> None:
    """Post reviews, and print how long each took to be in view."""
    watch.open()
    watch.page.value(CLOCK)
    taken = []
    for _ in range(20):
        began = time.time() * 1_000
        number = watch.post()
        seen = watch.page.wait(f"window.seenAt['review-{number}']")
        taken.append(seen - began)
    watch.all_there()
    middle, longest = statistics.median(taken), max(taken)
    click.echo(f"  from the request of 20 posts: median {middle:.0f} ms, longest {longest:.0f} ms")
    if longest > SECOND:
        raise PageError(f"a review took {longest:.0f} ms to be seen")


def shows_markup_as_text(watch: Watch) -> None:
    """Post what would be a script if it were markup."""
    words = "<img src=x onerror=\"document.title='run'\"> <b>bold</b>"
    number = watch.post(words=words)
    watch.page.wait(
        f"document.querySelector('#review-{number} p').textContent === {json.dumps(words)}"
    )
    if watch.page.value("document.querySelectorAll('#reviews img, #reviews b').length"):
        raise PageError("a review's text became markup")


def resumes(watch: Watch, end: Callable[[], None], missed: int = 7) -> None:
    """Take the server away, add reviews meanwhile elsewhere, and bring it back."""
    end()
    watch.page.wait(f"{STATE} === 'waiting'")
    for _ in range(missed):
        watch.post(watch.other)
    watch.shop.start()
    began = time.monotonic()
    watch.page.wait(f"{STATE} === 'live'", 40)
    click.echo(
        f"  live {time.monotonic() - began:.1f} s after the start: “{watch.page.value(SAID)}”"
    )
    watch.page.wait(f"{SAID}.includes('{missed} missed')")
    watch.all_there()
    watch.post()
    watch.all_there()


def starts_anew(watch: Watch, url: str) -> None:
    """Bring the server back when what followed on the page's cursor is not kept any more."""
    watch.shop.stop()
    watch.page.wait(f"{STATE} === 'waiting'")
    watch.post(watch.other)
    engine = create_unpooled_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM event"))
    watch.post(watch.other)
    watch.shop.start()
    watch.page.wait(f"{STATE} === 'live' && {SAID}.includes('loaded anew')", 40)
    watch.all_there()
    watch.post()
    watch.all_there()


def works_by_keyboard(watch: Watch) -> None:
    """Find the book and add a review without a mouse."""
    watch.page.open(f"{watch.shop.address}/live")
    watch.page.wait("document.querySelectorAll('#books button').length")
    watch.page.press("Tab", 9)
    watch.page.type("tempest")
    watch.page.wait("document.querySelectorAll('#books button').length === 1")
    watch.page.press("Tab", 9)
    watch.page.press("Enter", 13, "\r")
    watch.page.wait(f"{STATE} === 'live' && document.activeElement.id === 'title'")
    for typed in ("", "Ana", "Read in one night."):
        watch.page.press("Tab", 9)
        watch.page.type(typed)
    watch.page.press("Tab", 9)
    watch.page.press("Enter", 13, "\r")
    new = "document.querySelector('#reviews li.new')"
    watch.page.wait(f"{new}.textContent.includes('Read in one night.')")
    watch.posted.append(watch.page.value(f"Number({new}.id.slice(7))"))


def asks_for_a_key(page: Page, shop: Shop, key: str, book: int) -> None:
    """Open the page without a key, then type it in."""
    page.open(f"{shop.address}/live?book={book}")
    page.wait(f"{STATE} === 'stopped' && {SAID}.includes('key')")
    page.value("document.getElementById('key').focus()")
    page.type(key)
    page.press("Tab", 9)
    page.wait(f"{STATE} === 'live'")


def says_that_there_is_no_websocket(page: Page, shop: Shop, book: int) -> None:
    """Open the page on the plain service."""
    page.open(f"{shop.address}/live?book={book}")
    page.wait(f"{STATE} === 'waiting' && {SAID}.includes('No WebSocket')")
