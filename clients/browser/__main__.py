"""`make browser`, or `python -m clients.browser`."""

import sys

import click

from clients.browser import live, offline
from clients.browser.chromium import Chromium, find
from clients.shop import WSGI, Shop, database, new_key

NEEDED = "make browser needs Chromium or Chrome: none is on the PATH, nor named by CHROMIUM."


def main() -> int:
    """Look at every page in a headless browser; raise PageError at what is not as promised."""
    program = find()
    if program is None:
        click.echo(NEEDED, err=True)
        return 1
    with Chromium(program) as browser, database() as url, Shop(url, WSGI) as other:
        with Shop(url) as shop:
            look_at_live(browser, shop, other, url)
            look_at_documents(browser, shop)
        look_at_access(browser, url, other)
    click.echo("all seen")
    return 0


def look_at_live(browser: Chromium, shop: Shop, other: Shop, url: str) -> None:
    """See reviews arrive, before and after the server was away."""
    with browser.page() as page:
        watch = live.Watch(page, shop, other)
        click.echo("/live shows a review at once")
        live.arrives_at_once(watch)
        live.shows_markup_as_text(watch)
        click.echo("/live over a restart (SIGTERM), reviews posted meanwhile")
        live.resumes(watch, shop.stop)
        click.echo("/live over a crash (SIGKILL), reviews posted meanwhile")
        live.resumes(watch, shop.crash)
        click.echo("/live after more than is kept")
        live.starts_anew(watch, url)
        click.echo("/live by keyboard alone")
        live.works_by_keyboard(watch)


def look_at_documents(browser: Chromium, shop: Shop) -> None:
    """See the two consoles work with nothing else within reach."""
    book = shop.post("/books", {"title": "Emma", "author": "Jane Austen"})["id"]
    with browser.page() as page:
        click.echo("/docs, offline")
        offline.opens_docs(page, shop)
    with browser.page() as page:
        click.echo("/graphql, offline: a query, a mutation, a subscription")
        offline.opens_graphiql(page, shop, book)
    with browser.page() as page:
        click.echo("/live, offline")
        page.open(f"{shop.address}/live?book={book}")
        page.wait(f"{live.STATE} === 'live'")
        offline.stays_here(page, shop)


def look_at_access(browser: Chromium, url: str, plain: Shop) -> None:
    """See the page ask for a key where one is needed, and say where there is no WebSocket."""
    key = new_key(url, "reviews:write")
    with Shop(url, REQUIRE_API_KEY="true") as shop, browser.page() as page:
        click.echo("/live asks for a key")
        live.asks_for_a_key(page, shop, key, 1)
        click.echo("/graphql takes a key, and does not keep it")
        offline.takes_a_key(page, shop, key, 1)
    with browser.page() as page:
        click.echo("/live says that wsgi:app has no WebSocket")
        live.says_that_there_is_no_websocket(page, plain, 1)


if __name__ == "__main__":
    sys.exit(main())
