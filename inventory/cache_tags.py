"""The cache tags of products: on which ones a list depends, and which ones a write invalidates."""

from collections.abc import Mapping
from typing import Any, cast

from app.api.pagination import Page
from inventory.rules import ProductState

PRODUCTS = "products"
"""The guard tag of every list: every write invalidates it."""
MEMBERS = "products:members"
"""Which products there are, and which of them are archived."""
NAMES = "products:names"
PRICES = "products:prices"
ALL_PRODUCTS = (PRODUCTS, MEMBERS, NAMES, PRICES)
"""All but those of single products."""


def product_tag(product_id: int) -> str:
    """Return the tag of everything that is shown about one product, and the topic of its events."""
    return f"product:{product_id}"


def fine_tags(products: Page, query: Mapping[str, Any]) -> list[str]:
    """Return the tags of all that a page of the list or of the search depends on.

    The rows of the page show everything else; names and prices of other products only matter if
    they decide which rows these are, or how many there are.
    """
    tags = [MEMBERS, *(product_tag(product.id) for product in products.items)]
    if query.get("name") is not None or query["sort"].endswith("name"):
        tags.append(NAMES)
    bounds = (query.get("min_price"), query.get("max_price"))
    if bounds != (None, None) or query["sort"].endswith("price"):
        tags.append(PRICES)
    return tags


def tags_of_write(before: ProductState, after: ProductState) -> list[str]:
    """Return the tags to invalidate when a product, or what is held of it, has changed."""
    changed = {
        MEMBERS: before.archived != after.archived,
        NAMES: before.name != after.name,
        PRICES: before.price != after.price,
    }
    tags = (tag for tag, has_changed in changed.items() if has_changed)
    return [PRODUCTS, product_tag(cast(int, after.id)), *tags]
