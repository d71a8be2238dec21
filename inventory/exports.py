"""The exports of products and of the ledger of their stock, by id."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.sql import Select

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments
from app.export.routes import ExportQuery, export
from inventory.models import Product, StockAdjustment
from inventory.queries import ADJUSTMENT_COLUMNS
from inventory.schemas import AdjustmentSchema, ProductSchema
from inventory.views import PRODUCTS, STOCK

ALL_PRODUCTS = select(
    Product.id,
    Product.sku,
    Product.name,
    Product.price,
    Product.stock_level,
    Product.archived,
    Product.updated_at,
).order_by(Product.id)
ALL_ADJUSTMENTS = select(*ADJUSTMENT_COLUMNS).order_by(StockAdjustment.id)
bp = ApiBlueprint("inventory_exports", __name__, tags={})


class ExportedProductSchema(ProductSchema):
    """A product in an export."""

    class Meta:
        """What is held is not exported."""

        exclude = ("available",)


@bp.get("/products/export", tag=PRODUCTS)
@arguments(ExportQuery)
@export(ExportedProductSchema)
def export_products() -> Select[*tuple[Any, ...]]:
    """Export all products, archived ones too, by id, as NDJSON or CSV."""
    return ALL_PRODUCTS


@bp.get("/stock-adjustments/export", tag=STOCK)
@arguments(ExportQuery)
@export(AdjustmentSchema)
def export_adjustments() -> Select[*tuple[Any, ...]]:
    """Export the stock adjustments of all products, by id, as NDJSON or CSV."""
    return ALL_ADJUSTMENTS
