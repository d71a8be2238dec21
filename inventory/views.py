"""The routes of products and their stock."""

from functools import partial
from math import ceil
from typing import Any

from flask import request

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments, response
from app.api.pagination import Page, PageQuery
from app.auth.api_keys import scope
from app.auth.guard import client_context
from app.cache.tags import cached, set_fine_tags
from app.http.instrumentation import REQUEST_ID
from app.http.preconditions import if_match
from app.http.problems import problem_document
from app.http.route_options import body_limit, set_options
from inventory import bulk, cache_tags, holds, queries, search, services
from inventory.bulk_schemas import BulkResultsSchema, BulkSchema
from inventory.schemas import (
    AdjustmentSchema,
    HoldSchema,
    NewAdjustmentSchema,
    NewHoldSchema,
    NewProductSchema,
    ProductChangeSchema,
    ProductQuery,
    ProductSchema,
    ProductSearchQuery,
)

BULK_MAX_BYTES = 8_388_608
OPERATIONS_PER_WRITE = 10
"""How many operations of a bulk request the rate limits count as one write."""
ADJUSTMENT = "/products/{0.id}/stock-adjustments/{0.adjustment_id}"
Versions = frozenset[str] | None
PRODUCTS, STOCK, HOLDS = "Products", "Stock", "Holds"
bp = ApiBlueprint(
    "inventory",
    __name__,
    tags={
        PRODUCTS: "What the shop sells: search, prices and levels of stock.",
        STOCK: "Atomic changes of the stock, and the ledger of all of them.",
        HOLDS: "Units that are kept for a cart or an order, for some time.",
    },
)


@bp.get("/products", tag=PRODUCTS)
@cached(cache_tags.PRODUCTS)
@arguments(ProductQuery)
@response(200, ProductSchema, paged=True)
def list_products(query: dict[str, Any]) -> Page:
    """List all products, or all archived ones."""
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


@bp.post("/products/bulk", tag=PRODUCTS)
@scope("products:write")
@body_limit(BULK_MAX_BYTES)
@arguments(BulkSchema)
@response(200, BulkResultsSchema)
def change_products(body: dict[str, Any]) -> Any:
    """Create, change and adjust up to 10,000 products: each operation has its own result.

    The results are those of single requests in the same order. Each 1,000 operations are one
    transaction; with `atomic` or an Idempotency-Key, all are. For the rate limits, an operation is
    a tenth of a write. The body may have 8 MiB.
    """
    writes = ceil(len(body["operations"]) / OPERATIONS_PER_WRITE)
    client_context(request.environ).count_more_writes(writes - 1)
    describe = partial(problem_document, request_id=request.headers[REQUEST_ID])
    return bulk.change_products(**body, describe=describe)


@bp.get("/products/<id:product_id>", tag=PRODUCTS)
@cached("product:{product_id}")
@response(200, ProductSchema, version_etag=True)
def get_product(product_id: int) -> Any:
    """Get a product, archived or not. Its ETag can be sent as If-Match with a change."""
    return queries.product(product_id)


set_options(get_product, no_delete="A product has a ledger and is never deleted: archive it.")


@bp.patch("/products/<id:product_id>", tag=PRODUCTS)
@scope("products:write")
@arguments(ProductChangeSchema)
@if_match
@response(200, ProductSchema, 409, version_etag=True)
def update_product(product_id: int, body: dict[str, Any], versions: Versions) -> Any:
    """Change a product: its name, SKU, price or stock level, or archive or restore it.

    With If-Match, the response is 412 if the product has changed since its ETag was read. It is 409
    if another product has the SKU, if the product is archived and its stock would change, or if
    less stock than is held would be left.
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

    Units that are held count as missing, and the stock of an archived product does not change. The
    response is the changed product; Location is the adjustment. With If-Match, it is 412 if the
    product has changed since its ETag was read.
    """
    return services.adjust_stock(product_id, versions, **body)


@bp.get("/products/<id:product_id>/stock-adjustments/<id:adjustment_id>", tag=STOCK)
@cached("product:{product_id}")
@response(200, AdjustmentSchema)
def get_adjustment(product_id: int, adjustment_id: int) -> Any:
    """Get one change of a product's stock."""
    return queries.adjustment(product_id, adjustment_id)


@bp.post("/products/<id:product_id>/holds", tag=HOLDS)
@scope("products:write")
@arguments(NewHoldSchema)
@response(201, HoldSchema, 409, location="/holds/{0.id}")
def create_hold(product_id: int, body: dict[str, Any]) -> Any:
    """Hold units of a product. If fewer are available, the response is 409.

    They are not available to others until the hold is committed or released, or expires.
    """
    return holds.add_hold(product_id, **body)


@bp.get("/holds/<id:hold_id>", tag=HOLDS)
@response(200, HoldSchema)
def get_hold(hold_id: int) -> Any:
    """Get a hold."""
    return queries.hold(hold_id)


@bp.post("/holds/<id:hold_id>/commit", tag=HOLDS)
@scope("products:write")
@response(200, HoldSchema, 409)
def commit_hold(hold_id: int) -> Any:
    """Sell the held units: they leave the stock, with a stock adjustment. Twice is as good as once.

    If the hold was released or has expired, or the product is archived, the response is 409.
    """
    return holds.commit_hold(hold_id)


@bp.delete("/holds/<id:hold_id>", tag=HOLDS)
@scope("products:write")
@response(204, None, 409)
def release_hold(hold_id: int) -> None:
    """Release the held units. Twice is as good as once, and an expired hold is released too.

    If the hold was committed, the response is 409.
    """
    holds.release_hold(hold_id)
