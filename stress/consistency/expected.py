"""What the database holds at the end, and whether it agrees with itself and with every answer."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Engine, Row, select

from app.cache.outbox import Outbox
from bookreview.models import Book, Review
from inventory.models import Product, StockAdjustment
from stress.consistency.records import Write
from stress.consistency.requests import Things, adds_up

Rows = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True)
class Truth:
    """The rows of the things that the clients shared."""

    products: Mapping[int, Any]
    books: Mapping[int, Any]
    ledger: Mapping[int, Rows]
    """By product, oldest first."""
    reviews: Mapping[int, Rows]
    """By book, oldest first: the lock on the book puts their ids in the order of the commits."""
    undelivered: int


def read(engine: Engine, things: Things) -> Truth:
    """Read it past the service and its cache."""
    products = select(Product.__table__).where(Product.id.in_(things.products))
    books = select(Book.__table__).where(Book.id.in_(things.books))
    moves = select(StockAdjustment.__table__).order_by(StockAdjustment.id)
    reviews = select(Review.__table__).order_by(Review.id)
    with engine.connect() as connection:
        return Truth(
            {row.id: row for row in connection.execute(products)},
            {row.id: row for row in connection.execute(books)},
            _by(connection.execute(moves).all(), "product_id"),
            _by(connection.execute(reviews).all(), "book_id"),
            len(connection.execute(select(Outbox.id)).all()),
        )


def _by(rows: Rows, name: str) -> Mapping[int, Rows]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found


def lost(truth: Truth, writes: Sequence[Write]) -> Iterator[str]:
    """Name each acknowledged write that is not there as it was acknowledged."""
    moves = {row.reason: row for rows in truth.ledger.values() for row in rows}
    reviews = {row.text: row for rows in truth.reviews.values() for row in rows}
    for write in writes:
        if not write.acknowledged or write.reply is None:
            continue
        told = orjson.loads(write.reply.body)
        if write.kind == "adjust":
            row = moves.get(write.token)
            kept = row and (row.product_id, row.delta, row.stock_level) == (
                write.thing, write.body["delta"], told["stock_level"],
            )  # fmt: skip
        elif write.kind == "review":
            row = reviews.get(write.token)
            kept = row and (row.book_id, row.id) == (write.thing, told["id"])
        else:
            kept = _kept(truth.products[write.thing], write, told)
        if not kept:
            yield f"{write.kind} {write.token} of {write.thing}, acknowledged as {told}"


def _kept(product: Any, write: Write, told: Any) -> bool:
    version, present = version_of(write), int(product.version)
    if version != present:
        return version < present
    shown = f"{product.price:.2f}", product.stock_level
    return shown == (told["price"], told["stock_level"])


def version_of(write: Write) -> int:
    """Return the version that a product got by ``write``."""
    return int(write.reply.etag.strip('"')) if write.reply else 0


def discord(truth: Truth, writes: Sequence[Write]) -> Iterator[str]:
    """Name what does not agree: ledger and level, reviews and their sums, counts of changes."""
    for product in truth.products.values():
        yield from _of_product(product, truth.ledger[product.id])
        mine = [write for write in writes if write.thing == product.id and write.kind != "review"]
        yield from _versions(product, mine)
    for book in truth.books.values():
        ratings = [review.rating for review in truth.reviews.get(book.id, ())]
        if (book.review_count, book.rating_sum) != (len(ratings), sum(ratings)):
            yield f"book {book.id} counts {book.review_count} reviews of {len(ratings)}"
    refused = {w.token for w in writes if w.reply is not None and not w.acknowledged}
    there = [row.reason for rows in truth.ledger.values() for row in rows]
    there += [row.text for rows in truth.reviews.values() for row in rows]
    yield from (f"refused, and there: {token}" for token in refused.intersection(there))
    repeated = [token for token, times in Counter(there).items() if times > 1 and " " not in token]
    yield from (f"there twice: {token}" for token in repeated)


def _of_product(product: Any, ledger: Rows) -> Iterator[str]:
    total = sum(row.delta for row in ledger)
    if total != product.stock_level:
        yield f"product {product.id} has {product.stock_level}, its ledger {total}"
    if not adds_up([row._mapping for row in reversed(ledger)]):
        yield f"a row in the ledger of product {product.id} does not follow from the last"


def _versions(product: Any, writes: Sequence[Write]) -> Iterator[str]:
    known = [version_of(write) for write in writes if write.acknowledged]
    unknown = sum(write.reply is None for write in writes)
    if len(set(known)) != len(known):
        yield f"two writes of product {product.id} were given one version"
    changes = product.version - 1
    if not len(known) <= changes <= len(known) + unknown:
        yield f"product {product.id}: {changes} changes, {len(known)} to {unknown} more were asked"
