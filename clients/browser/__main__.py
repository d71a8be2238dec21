"""`make browser`, or `python -m clients.browser`."""

import sys

import click

from clients.browser import changes, cross_origin, landing, live, offline
from clients.browser.chromium import Chromium, find
from clients.service import WSGI, Bookstall, database, new_key

MISSING = "make browser needs Chromium or Chrome on the PATH, or its name in CHROMIUM."


def main() -> int:
    """Check every page in a headless browser; raise PageError for a failed check."""
    program = find()
    if program is None:
        click.echo(MISSING, err=True)
        return 1
    with Chromium(program) as browser, database() as url, Bookstall(url, WSGI) as other:
        with Bookstall(url) as service:
            check_live(browser, service, other, url)
            check_landing(browser, service)
            check_offline(browser, service)
        check_access(browser, url, other)
        check_cross_origin(browser, url, other)
    click.echo("all checks passed")
    return 0


def check_live(browser: Chromium, service: Bookstall, other: Bookstall, url: str) -> None:
    """Check that reviews arrive, also after the server was down."""
    with browser.page() as page:
        live_page = live.LivePage(page, service, other)
        click.echo("/live shows a review at once")
        live.check_arrival(live_page)
        live.check_markup(live_page)
        click.echo("/live over a restart (SIGTERM), reviews posted meanwhile")
        live.check_resume(live_page, service.stop)
        click.echo("/live over a crash (SIGKILL), reviews posted meanwhile")
        live.check_resume(live_page, service.crash)
        click.echo("/live after its next event was purged")
        live.check_reload(live_page, url)
        click.echo("/live with the keyboard only")
        live.check_keyboard(live_page)
    with browser.page() as page:
        click.echo("/live of all books over a restart, then of one of them")
        live.check_all_books(page, service, other)
    with browser.page() as page:
        click.echo("/live with all changes, a filter, and a crash")
        changes.check_changes(page, service, other)
    with browser.page() as page:
        click.echo("/live reports that wsgi:app has no event stream")
        changes.check_without_stream(page, other)


def check_landing(browser: Chromium, service: Bookstall) -> None:
    """Check the landing page, also while the database is unavailable."""
    with browser.page() as page:
        click.echo("/ shows the figures and commands for this service")
        landing.check_landing(page, service, 1)
        click.echo("the icons can be drawn")
        landing.check_icons(page)
    with Bookstall("postgresql://nobody@127.0.0.1:1/none", WSGI) as without, browser.page() as page:
        click.echo("/ without a database")
        landing.check_without_database(page, without)


def check_offline(browser: Chromium, service: Bookstall) -> None:
    """Check that the pages work without any other host."""
    book = service.post("/books", {"title": "Emma", "author": "Jane Austen"})["id"]
    product = {"sku": "LAMP-1", "name": "Lamp", "price": "19.99", "stock_level": 9}
    number = service.post("/products", product)["id"]
    service.post(f"/products/{number}/holds", {"quantity": 1, "expires_in": 900})  # to commit
    with browser.page() as page:
        click.echo("/docs, offline: every proposed body is accepted")
        offline.check_docs(page, service)
    with browser.page() as page:
        click.echo("/graphql, offline: a query, a mutation, a subscription")
        offline.check_graphiql(page, service, book)
    with browser.page() as page:
        click.echo("/live, offline")
        page.open(f"{service.address}/live?book={book}")
        page.wait(f"{live.STATE} === 'live'")
        offline.check_requests(page, service)


def check_access(browser: Chromium, url: str, plain: Bookstall) -> None:
    """Check the page with required API keys, and without a WebSocket."""
    key = new_key(url, "reviews:write")
    with Bookstall(url, REQUIRE_API_KEY="true") as service, browser.page() as page:
        click.echo("/live asks for a key")
        live.check_key(page, service, key, 1)
        click.echo("/graphql accepts a key and does not store it")
        offline.check_key(page, service, key, 1)
    with browser.page() as page:
        click.echo("/live reports that wsgi:app has no WebSocket")
        live.check_without_websocket(page, plain, 1)


def check_cross_origin(browser: Chromium, url: str, site: Bookstall) -> None:
    """Check what pages of other sites can do."""
    key = new_key(url, "products:write", "books:write", "reviews:write")
    with Bookstall(url, ALLOWED_ORIGINS=site.address) as service, browser.page() as page:
        click.echo("a page of an allowed site reads, writes and follows reviews")
        cross_origin.check_allowed(page, site, service, key)
        cross_origin.check_streams(page, service, key)
    with Bookstall(url, ALLOWED_ORIGINS="https://shop.example") as service, browser.page() as page:
        click.echo("a page of another site can do nothing")
        cross_origin.check_refused(page, site, service)
    with Bookstall(url, ALLOWED_ORIGINS="*") as service, browser.page() as page:
        click.echo("with ALLOWED_ORIGINS=* a page of any site reads, without credentials")
        cross_origin.check_any(page, site, service)


if __name__ == "__main__":
    sys.exit(main())
