"""The shapes of products and their stock on the wire."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.fields import ID_MAX, Price, Text, Whole
from app.api.pagination import PageQuery
from inventory.models import NAME_MAX, PRICE_MAX, REASON_MAX, SKU_MAX, STOCK_MAX

SORTS = ("id", "name", "-name", "price", "-price")


class NewProductSchema(Schema):
    """A product to be added, with its first stock."""

    sku = Text(SKU_MAX, required=True, metadata={"description": "Our own code, unique."})
    name = Text(NAME_MAX, required=True)
    price = Price(PRICE_MAX, required=True)
    stock_level = Whole(0, STOCK_MAX, load_default=0)


class ProductSchema(Schema):
    """Something we stock."""

    id = Whole(1, ID_MAX, required=True)
    sku = fields.String(required=True)
    name = fields.String(required=True)
    price = Price(PRICE_MAX, required=True, metadata={"type": "string"})
    stock_level = Whole(0, STOCK_MAX, required=True)
    updated_at = fields.AwareDateTime(required=True)


class ProductChangeSchema(Schema):
    """A new price, a new stock level, or both."""

    described: ClassVar = {"minProperties": 1}

    price = Price(PRICE_MAX)
    stock_level = Whole(0, STOCK_MAX)

    @validates_schema
    def not_empty(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a change that changes nothing: it is a slip."""
        if not data:
            raise ValidationError("Name a price, a stock_level, or both.")


class ProductQuery(PageQuery):
    """In which order."""

    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(SORTS),
        metadata={"description": "A minus before it: the greatest first."},
    )


class ProductSearchQuery(ProductQuery):
    """Which products, and in which order."""

    name = Text(
        NAME_MAX,
        metadata={"description": "Any part of the name, in any case; every character literal."},
    )
    min_price = Price(
        PRICE_MAX, metadata={"type": "string", "description": "The least price, itself included."}
    )
    max_price = Price(
        PRICE_MAX, metadata={"type": "string", "description": "The greatest, itself included."}
    )

    @validates_schema
    def sensible(self, data: dict[str, Any], **_: Any) -> None:
        """Ask for a filter, and for a range that is none the wrong way round."""
        low, high = data.get("min_price"), data.get("max_price")
        if data.get("name") is None and low is None and high is None:
            raise ValidationError("Name at least one of name, min_price and max_price.")
        if low is not None and high is not None and low > high:
            raise ValidationError("Must not be less than min_price.", "max_price")


class NewAdjustmentSchema(Schema):
    """A change of stock."""

    delta = Whole(
        -STOCK_MAX,
        STOCK_MAX,
        required=True,
        metadata={
            "description": "Units to add, or negative to take; never 0.",
            "not": {"const": 0},
        },
    )
    reason = Text(REASON_MAX, load_default=None, allow_none=True)

    @validates_schema
    def moves(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a change of nothing."""
        if data["delta"] == 0:
            raise ValidationError("Must not be 0.", "delta")


class AdjustmentSchema(Schema):
    """A change of stock, and the level that it left."""

    id = Whole(1, ID_MAX, required=True)
    product_id = Whole(1, ID_MAX, required=True)
    delta = fields.Integer(required=True)
    stock_level = Whole(0, STOCK_MAX, required=True)
    reason = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class AdjustmentQuery(PageQuery):
    """Which changes: a page of them."""
