"""The rows in the database at the end, and whether they agree with each other and with writes."""

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
from stress.consistency.requests import Resources, is_continuous

Rows = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True)
class ExpectedState:
    """The rows of the resources that the clients shared."""

    products: Mapping[int, Any]
    books: Mapping[int, Any]
    ledgers: Mapping[int, Rows]
    """By product, oldest first."""
    reviews: Mapping[int, Rows]
    """By book, oldest first: the lock on the book makes their ids follow the commits."""
    undelivered: int
    """Invalidations in the outbox. On SQLite they stay there, as the log of all changes."""


def read_state(engine: Engine, resources: Resources) -> ExpectedState:
    """Read the rows from the database, without the service and its cache."""
    products = select(Product.__table__).where(Product.id.in_(resources.products))
    books = select(Book.__table__).where(Book.id.in_(resources.books))
    adjustments = select(StockAdjustment.__table__).order_by(StockAdjustment.id)
    reviews = select(Review.__table__).order_by(Review.id)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        return ExpectedState(
            {row.id: row for row in connection.execute(products)},
            {row.id: row for row in connection.execute(books)},
            _group(connection.execute(adjustments).all(), "product_id"),
            _group(connection.execute(reviews).all(), "book_id"),
            0 if is_sqlite else len(connection.execute(select(Outbox.id)).all()),
        )


def _group(rows: Rows, column: str) -> Mapping[int, Rows]:
    groups: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, column)].append(row)
    return groups


def lost_writes(state: ExpectedState, writes: Sequence[Write]) -> Iterator[str]:
    """Describe each acknowledged write that is not in the database as it was acknowledged."""
    adjustments = {row.reason: row for rows in state.ledgers.values() for row in rows}
    reviews = {row.text: row for rows in state.reviews.values() for row in rows}
    for write in writes:
        if not write.acknowledged or write.response is None:
            continue
        body = orjson.loads(write.response.body)
        if write.kind == "adjust":
            row = adjustments.get(write.token)
            stored = row and (row.product_id, row.delta, row.stock_level) == (
                write.id, write.body["delta"], body["stock_level"],
            )  # fmt: skip
        elif write.kind == "review":
            row = reviews.get(write.token)
            stored = row and (row.book_id, row.id) == (write.id, body["id"])
        else:
            stored = _price_stored(state.products[write.id], write, body)
        if not stored:
            yield f"{write.kind} {write.token} of {write.id}, acknowledged as {body}"


def _price_stored(product: Any, write: Write, body: Any) -> bool:
    version, newest = version_of(write), int(product.version)
    if version != newest:
        return version < newest
    return (f"{product.price:.2f}", product.stock_level) == (body["price"], body["stock_level"])


def version_of(write: Write) -> int:
    """Return the version that a product got by ``write``."""
    return int(write.response.etag.strip('"')) if write.response else 0


def inconsistencies(state: ExpectedState, writes: Sequence[Write]) -> Iterator[str]:
    """Describe what does not agree: ledgers and levels, reviews and sums, versions and changes."""
    for product in state.products.values():
        yield from _check_ledger(product, state.ledgers[product.id])
        changes = [one for one in writes if one.id == product.id and one.kind != "review"]
        yield from _check_versions(product, changes)
    for book in state.books.values():
        ratings = [review.rating for review in state.reviews.get(book.id, ())]
        if (book.review_count, book.rating_sum) != (len(ratings), sum(ratings)):
            yield f"book {book.id} has review_count {book.review_count} and {len(ratings)} reviews"
    rejected = {w.token for w in writes if w.response is not None and not w.acknowledged}
    stored = [row.reason for rows in state.ledgers.values() for row in rows]
    stored += [row.text for rows in state.reviews.values() for row in rows]
    yield from (f"rejected, but stored: {token}" for token in rejected.intersection(stored))
    repeated = [token for token, n in Counter(stored).items() if n > 1 and " " not in token]
    yield from (f"stored twice: {token}" for token in repeated)
    if state.undelivered:
        yield f"{state.undelivered} invalidations are left in the outbox"


def _check_ledger(product: Any, ledger: Rows) -> Iterator[str]:
    total = sum(row.delta for row in ledger)
    if total != product.stock_level:
        yield f"product {product.id} has level {product.stock_level}, its ledger sums to {total}"
    if not is_continuous([row._mapping for row in reversed(ledger)]):
        yield f"a row in the ledger of product {product.id} does not follow from the previous one"


def _check_versions(product: Any, writes: Sequence[Write]) -> Iterator[str]:
    versions = [version_of(write) for write in writes if write.acknowledged]
    unknown = sum(write.response is None for write in writes)
    if len(set(versions)) != len(versions):
        yield f"two writes of product {product.id} got the same version"
    changes = product.version - 1
    if not len(versions) <= changes <= len(versions) + unknown:
        acknowledged = f"{len(versions)} acknowledged and {unknown} unknown writes"
        yield f"product {product.id} has {changes} changes by {acknowledged}"
