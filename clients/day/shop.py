"""What a developer of a shop does in a day, with nothing but the generated client.

`bookstall_client` exists when `python -m clients.day` has generated it. Each step raises DayError
if the service does not do what the document says.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from bookstall_client import AuthenticatedClient
from bookstall_client.api.books import (
    create_book,
    export_books,
    get_book,
    list_books,
    update_book,
)
from bookstall_client.api.holds import commit_hold, create_hold, get_hold, release_hold
from bookstall_client.api.products import (
    change_products,
    export_products,
    get_product,
    search_products,
)
from bookstall_client.api.reviews import (
    create_review,
    export_reviews,
    get_review,
    list_reviews,
    update_review,
)
from bookstall_client.api.shop import get_figures
from bookstall_client.api.stock import export_adjustments, list_adjustments
from bookstall_client.models import (
    BookChange,
    Bulk,
    BulkAdjust,
    BulkAdjustOp,
    BulkCreate,
    BulkCreateOp,
    BulkUpdate,
    BulkUpdateOp,
    ExportAdjustmentsFormat,
    ExportBooksFormat,
    ExportProductsFormat,
    ExportReviewsFormat,
    NewBook,
    NewHold,
    NewReview,
    ReviewChange,
)
from bookstall_client.types import Response

ROWS = 100
"""Of the price list. A client has 60 writes a minute, and each row counts as a tenth of one."""
EXPORTS = {
    "books": (export_books, ExportBooksFormat.CSV),
    "reviews": (export_reviews, ExportReviewsFormat.CSV),
    "products": (export_products, ExportProductsFormat.CSV),
    "stock-adjustments": (export_adjustments, ExportAdjustmentsFormat.CSV),
}
OK, CREATED, NO_CONTENT = HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT
Load = Callable[[str, Path], None]
"""Loads the export of that name into the empty service, as its operator does."""


class DayError(AssertionError):
    """The service did something else than its document says."""


def check(condition: object, what: object) -> None:
    """Raise DayError unless ``condition`` holds."""
    if not condition:
        raise DayError(what)


class Shop:
    """The service at ``url``, through the generated client."""

    def __init__(self, url: str, key: str) -> None:
        self._client = AuthenticatedClient(base_url=url, token=key)

    def send(self, operation: Any, status: HTTPStatus, *ids: int, **options: Any) -> Response[Any]:
        """Call an operation; raise DayError if the response has another status."""
        response: Response[Any]
        response = operation.sync_detailed(*ids, client=self._client, **options)
        what = f"{operation.__name__}: {response.status_code}, {response.content!r}"
        check(response.status_code == status, what)
        return response

    def read(self, operation: Any, *ids: int, **options: Any) -> Any:
        """Return what an operation reads."""
        return self.send(operation, OK, *ids, **options).parsed

    def create(self, operation: Any, *ids: int, **options: Any) -> Any:
        """Return what an operation creates."""
        return self.send(operation, CREATED, *ids, **options).parsed

    def change(self, operations: list[Any], statuses: list[HTTPStatus], **options: bool) -> Any:
        """Change products in bulk; raise DayError unless the results have these statuses."""
        results = self.read(change_products, body=Bulk(operations=operations, **options)).results
        check([result.status for result in results] == statuses, results)
        return results


def import_price_list(shop: Shop) -> None:
    """Add the products of a price list after a dry run; then change some of them, all or none."""
    before = shop.read(get_figures).products
    rows = [
        BulkCreate(
            op=BulkCreateOp.CREATE,
            sku=f"PC-{number:03}",
            name=f"Postcard {number:03}",
            price=f"{1 + number % 3}.20",
            stock_level=40,
        )
        for number in range(ROWS)
    ]
    shop.change(rows, [CREATED] * ROWS, dry_run=True)
    check(shop.read(get_figures).products == before, "a dry run has added products")
    added = shop.change(rows, [CREATED] * ROWS)
    check([result.product.sku for result in added] == [row.sku for row in rows], added)
    check(shop.read(get_figures).products == before + ROWS, "products are missing")
    etag = added[7].etag
    dearer = BulkUpdate(op=BulkUpdateOp.UPDATE, sku="PC-007", price="2.50", if_match=etag)
    delivery = BulkAdjust(op=BulkAdjustOp.ADJUST, sku="PC-008", delta=5, reason="delivery 42")
    shop.change([dearer, delivery], [OK, CREATED], atomic=True)
    body = Bulk(operations=[delivery, dearer], atomic=True)  # the ETag is that of before
    shop.send(change_products, HTTPStatus.CONFLICT, body=body)
    (postcard,) = shop.read(search_products, name="postcard 008").items
    check(postcard.stock_level == 45, postcard)


def correct_a_title(shop: Shop) -> int:
    """Correct a title, unless another correction came first; return the id of the book."""
    book = shop.create(create_book, body=NewBook(title="A Winter in Lisbno", author="Ana Reis"))
    etag = shop.send(get_book, OK, book.id).headers["etag"]
    change = BookChange(title="A Winter in Lisbon")
    changed = shop.read(update_book, book.id, body=change, if_match=etag)
    check(changed.title == "A Winter in Lisbon", changed)
    late = BookChange(title="Winters")
    shop.send(update_book, HTTPStatus.PRECONDITION_FAILED, book.id, body=late, if_match=etag)
    found = shop.read(list_books, q="winter in lisbon").items
    check([one.id for one in found] == [book.id], found)
    return int(book.id)


def hide_a_review(shop: Shop, book_id: int) -> None:
    """Hide one of two reviews: it counts no longer."""
    reviews = [
        shop.create(
            create_review, book_id, body=NewReview(rating=rating, reviewer="Ana", text=text)
        )
        for rating, text in ((5, "Read in one night."), (1, "Buy cheap pills at my shop."))
    ]
    shop.read(update_review, reviews[1].id, body=ReviewChange(hidden=True))
    shown = shop.read(list_reviews, book_id).items
    check([review.id for review in shown] == [reviews[0].id], shown)
    book = shop.read(get_book, book_id)
    check((book.review_count, book.average_rating) == (1, 5.0), book)
    check(book.stars.to_dict() == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 1}, book)
    shop.read(get_review, reviews[0].id)


def sell(shop: Shop) -> None:
    """Hold the copies of two carts: one customer pays, the other goes away."""
    (product,) = shop.read(search_products, name="postcard 007").items
    level, cart = product.stock_level, NewHold(quantity=2, expires_in=900, reason="cart 7")
    paid = shop.create(create_hold, product.id, body=cart)
    left = shop.create(create_hold, product.id, body=cart)
    held = shop.read(get_product, product.id)
    check((held.stock_level, held.available) == (level, level - 4), held)
    too_many = NewHold(quantity=held.available + 1, expires_in=900)
    shop.send(create_hold, HTTPStatus.CONFLICT, product.id, body=too_many)
    for _ in range(2):  # each twice is the same as once
        shop.send(commit_hold, OK, paid.id)
        shop.send(release_hold, NO_CONTENT, left.id)
    states = [shop.read(get_hold, hold.id).state for hold in (paid, left)]
    check(states == ["committed", "released"], states)
    sold = shop.read(get_product, product.id)
    check((sold.stock_level, sold.available) == (level - 2, level - 2), sold)
    ledger = shop.read(list_adjustments, product.id, include_total=True)
    check([entry.delta for entry in ledger.items] == [-2, level], ledger)


def export(shop: Shop, folder: Path) -> dict[str, bytes]:
    """Export everything as CSV into ``folder``; return the files."""
    files = {}
    for name, (operation, format_) in EXPORTS.items():
        files[name] = shop.send(operation, OK, format_=format_).content
        (folder / f"{name}.csv").write_bytes(files[name])
    return files


def levels(ledger: bytes) -> Counter[str]:
    """Return what the stock adjustments of each product add up to, if it is not 0."""
    found: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(ledger.decode())):
        found[row["product_id"]] += int(row["delta"])
    return +found


def compare(shop: Shop, copy: Shop, exported: dict[str, bytes], folder: Path) -> None:
    """Check that the copy has the same, to the byte; its ledger begins with what was loaded."""
    copied = export(copy, folder)
    for name in ("books", "reviews", "products"):
        check(exported[name] == copied[name], f"{name} differ: {folder}")
    ledgers = [levels(files["stock-adjustments"]) for files in (exported, copied)]
    check(ledgers[0] == ledgers[1], ledgers)
    figures = [one.read(get_figures).to_dict() for one in (shop, copy)]
    check(figures[0] == figures[1], figures)


def work(shop: Shop, copy: Shop, folder: Path, load: Load) -> None:
    """Work for a day; ``copy`` is an empty service. Raise DayError."""
    click.echo("bulk-import a price list")
    import_price_list(shop)
    click.echo("correct a title")
    book_id = correct_a_title(shop)
    click.echo("hide a review")
    hide_a_review(shop, book_id)
    click.echo("hold, sell, release")
    sell(shop)
    click.echo("export")
    exported = export(shop, folder)
    click.echo("load the export into an empty service")
    for name in ("books", "reviews", "products"):
        load(name, folder / f"{name}.csv")
    click.echo("compare")
    (copy_folder := folder / "copy").mkdir()
    compare(shop, copy, exported, copy_folder)
