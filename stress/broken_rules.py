"""Rules of the two APIs, each broken on purpose: what a write invalidates, counts, or lists."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any

from sqlalchemy import bindparam

from app import middleware
from app.api import pagination
from app.events.log import NewEvent
from app.unit_of_work import commit
from bookreview import services as books
from bookreview.cache_tags import BOOKS, book_tag
from inventory import bulk, cache_tags, holds, queries
from inventory import services as products
from stress.attributes import replace


def _drop_tags(module: Any, dropped: Callable[[str], bool]) -> None:
    """Let the writes of a module invalidate only the other tags."""

    def commit_others(*, invalidate: Sequence[str], events: Sequence[NewEvent] = ()) -> None:
        commit(invalidate=[tag for tag in invalidate if not dropped(tag)], events=events)

    replace(module, "commit", commit_others)


def _keep_book_when_hiding() -> None:
    hiding = ContextVar("hiding", default=False)
    update = books.update_review

    @wraps(update)
    def update_review(*arguments: Any, **changes: Any) -> Any:
        hiding.set("hidden" in changes)
        return update(*arguments, **changes)

    replace(books, "update_review", update_review)
    _drop_tags(books, lambda tag: hiding.get() and tag.startswith("book:") and tag.count(":") == 1)


def _keep_lists_by_rating() -> None:
    replace(books, "tags_of_ratings", lambda book: [BOOKS, book_tag(book)])


def _do_not_count_holds() -> None:
    lock = products.lock_products

    def lock_products(ids: Any) -> Any:
        return {number: product._replace(held=0) for number, product in lock(ids).items()}

    replace(products, "lock_products", lock_products)


def _skip_equal_keys() -> None:
    def follows(order: Any, place: Any) -> Any:
        key = pagination.compared_keys(order, place)[0]
        position = bindparam(f"after_{key.key}", type_=key.type)
        return key < position if order.descending else key > position

    replace(pagination, "_follows", follows)


BROKEN_RULES: Mapping[str, Callable[[], None]] = {
    # Hiding or showing a review does not invalidate its book.
    "hidden": _keep_book_when_hiding,
    # What moderators see is cached, and sent to others.
    "moderator": lambda: replace(middleware, "has_key_for", lambda *_: False),
    # New ratings do not invalidate the lists that are sorted or filtered by them.
    "ratings": _keep_lists_by_rating,
    # Holds do not invalidate their product.
    "hold": lambda: _drop_tags(holds, lambda tag: tag.startswith("product:")),
    # A bulk request invalidates lists only, not its products.
    "bulk": lambda: _drop_tags(bulk, lambda tag: tag.startswith("product:")),
    # Archiving a product does not invalidate the lists.
    "archived": lambda: _drop_tags(products, lambda tag: tag == cache_tags.MEMBERS),
    # A new name does not invalidate the lists that are sorted or filtered by names.
    "renamed": lambda: _drop_tags(products, lambda tag: tag == cache_tags.NAMES),
    # Responses are cached beyond the end of a hold that they count.
    "expiry": lambda: replace(queries, "limit_age_of", lambda _: None),
    # Holds are not counted when a product is locked: more is held and sold than there is.
    "uncounted": _do_not_count_holds,
    # The page after a cursor begins after all rows whose first key equals that of the cursor.
    "cursor": _skip_equal_keys,
}
