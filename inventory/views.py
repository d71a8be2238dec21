"""The routes of products and their stock."""

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments, response
from app.api.pagination import Page, PageQuery
from app.auth.api_keys import scope
from app.cache.tags import cached, set_fine_tags
from app.http.preconditions import if_match
from inventory import cache_tags, queries, search, services
from inventory.schemas import (
    AdjustmentSchema,
    NewAdjustmentSchema,
    NewProductSchema,
    ProductChangeSchema,
    ProductQuery,
    ProductSchema,
    ProductSearchQuery,
)

ADJUSTMENT = "/products/{0.id}/stock-adjustments/{0.adjustment_id}"
Versions = frozenset[str] | None
PRODUCTS, STOCK = "Products", "Stock"
bp = ApiBlueprint(
    "inventory",
    __name__,
    tags={
        PRODUCTS: "What the shop sells: search, prices and levels of stock.",
        STOCK: "Atomic changes of the stock, and the ledger of all of them.",
    },
)


@bp.get("/products", tag=PRODUCTS)
@cached(cache_tags.PRODUCTS)
@arguments(ProductQuery)
@response(200, ProductSchema, paged=True)
def list_products(query: dict[str, Any]) -> Page:
    """List all products."""
    return _with_fine_tags(queries.products(**query), query)


@bp.get("/products/search", tag=PRODUCTS)
@cached(cache_tags.PRODUCTS)
@arguments(ProductSearchQuery)
@response(200, ProductSchema, paged=True)
def search_products(query: dict[str, Any]) -> Page:
    """Find products by part of the name, price range or both.

    A page may have fewer items than `limit` and still a next page: for a name without three
    consecutive letters or digits, each page searches a bounded number of products.
    """
    return _with_fine_tags(search.products(**query), query)


def _with_fine_tags(products: Page, query: dict[str, Any]) -> Page:
    set_fine_tags(cache_tags.fine_tags(products, query))
    return products


@bp.post("/products", tag=PRODUCTS)
@scope("products:write")
@arguments(NewProductSchema)
@response(201, ProductSchema, 409, location="/products/{0.id}", version_etag=True)
def create_product(body: dict[str, Any]) -> Any:
    """Add a product with its initial stock. If its SKU already exists, the response is 409."""
    return services.add_product(**body)


@bp.get("/products/<id:product_id>", tag=PRODUCTS)
@cached("product:{product_id}")
@response(200, ProductSchema, version_etag=True)
def get_product(product_id: int) -> Any:
    """Get a product. Its ETag can be sent as If-Match with a change."""
    return queries.product(product_id)


@bp.patch("/products/<id:product_id>", tag=PRODUCTS)
@scope("products:write")
@arguments(ProductChangeSchema)
@if_match
@response(200, ProductSchema, version_etag=True)
def update_product(product_id: int, body: dict[str, Any], versions: Versions) -> Any:
    """Set price, stock level or both.

    With If-Match, the response is 412 if the product has changed since its ETag was read.
    """
    return services.update_product(product_id, versions, **body)


@bp.get("/products/<id:product_id>/stock-adjustments", tag=STOCK)
@cached("product:{product_id}")
@arguments(PageQuery)
@response(200, AdjustmentSchema, paged=True)
def list_adjustments(product_id: int, query: dict[str, Any]) -> Page:
    """List every change of a product's stock, newest first; they add up to its stock level."""
    return queries.adjustments(product_id, **query)


@bp.post("/products/<id:product_id>/stock-adjustments", tag=STOCK)
@scope("products:write")
@arguments(NewAdjustmentSchema)
@if_match
@response(201, ProductSchema, 409, location=ADJUSTMENT, version_etag=True)
def create_adjustment(product_id: int, body: dict[str, Any], versions: Versions) -> Any:
    """Add or remove stock. If there are too few units, the response is 409 and nothing changes.

    The response is the changed product; Location is the adjustment. With If-Match, it is 412 if
    the product has changed since its ETag was read.
    """
    return services.adjust_stock(product_id, versions, **body)


@bp.get("/products/<id:product_id>/stock-adjustments/<id:adjustment_id>", tag=STOCK)
@cached("product:{product_id}")
@response(200, AdjustmentSchema)
def get_adjustment(product_id: int, adjustment_id: int) -> Any:
    """Get one change of a product's stock."""
    return queries.adjustment(product_id, adjustment_id)
