"""The shapes of products and their stock on the wire."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.fields import (
    ID_MAX,
    BoundedInteger,
    ChangeSchema,
    CleanText,
    KeyText,
    Price,
    StrictBoolean,
)
from app.api.pagination import PageQuery
from inventory.models import (
    COMMITTED,
    HELD,
    NAME_MAX,
    PRICE_MAX,
    REASON_MAX,
    RELEASED,
    SKU_MAX,
    STOCK_MAX,
)
from inventory.queries import EXPIRED, ORDERS

EXPIRES_IN_MAX = 7 * 24 * 3600


class NewProductSchema(Schema):
    """A product to add, with its initial stock."""

    sku = KeyText(
        SKU_MAX,
        required=True,
        metadata={
            "description": "Stock keeping unit, unique; without invisible characters, and without "
            "spaces but U+0020.",
            "examples": ["BM-OAK"],
        },
    )
    name = CleanText(NAME_MAX, required=True, metadata={"examples": ["Bookmark, oak"]})
    price = Price(PRICE_MAX, required=True)
    stock_level = BoundedInteger(0, STOCK_MAX, load_default=0, metadata={"examples": [12]})


class ProductSchema(Schema):
    """A product, with its stock in whole units."""

    id = BoundedInteger(1, ID_MAX, required=True)
    sku = fields.String(required=True)
    name = fields.String(required=True)
    price = Price(PRICE_MAX, required=True, metadata={"type": "string"})
    stock_level = BoundedInteger(0, STOCK_MAX, required=True)
    available = fields.Integer(
        required=True,
        metadata={"description": "The stock level less what is held now.", "examples": [10]},
    )
    archived = fields.Boolean(required=True)
    updated_at = fields.AwareDateTime(required=True)


class ProductChangeSchema(ChangeSchema):
    """New values of a product; the others stay."""

    # Not that of the new product: whoever tries both examples would get a 409.
    sku = KeyText(SKU_MAX, metadata={"examples": ["BM-OAK-2"]})
    name = CleanText(NAME_MAX, metadata={"examples": ["Bookmark, oak"]})
    price = Price(PRICE_MAX)
    stock_level = BoundedInteger(0, STOCK_MAX, metadata={"examples": [40]})
    archived = StrictBoolean(
        metadata={
            "description": "Whether lists and searches leave the product out, and its stock "
            "cannot be changed.",
            "examples": [False],
        }
    )


class ProductQuery(PageQuery):
    """Which products, their order, and a page of them."""

    archived = StrictBoolean(
        load_default=False,
        metadata={"description": "`true`: the archived products, instead of all others."},
    )
    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(list(ORDERS)),
        metadata={"description": "The sort key; with a leading minus in descending order."},
    )


class ProductSearchQuery(ProductQuery):
    """Filters for products, their order and a page of them."""

    name = CleanText(
        NAME_MAX,
        metadata={
            "description": "Only products whose name contains this text, in any case.",
            "examples": ["bookmark"],
        },
    )
    min_price = Price(
        PRICE_MAX,
        metadata={
            "type": "string",
            "description": "The lowest price, inclusive.",
            "examples": ["5.00"],
        },
    )
    max_price = Price(
        PRICE_MAX,
        metadata={
            "type": "string",
            "description": "The highest price, inclusive.",
            "examples": ["50.00"],
        },
    )

    @validates_schema
    def check_filters(self, data: dict[str, Any], **_: Any) -> None:
        low, high = data.get("min_price"), data.get("max_price")
        if data.get("name") is None and low is None and high is None:
            raise ValidationError("Provide at least one of name, min_price and max_price.")
        if low is not None and high is not None and low > high:
            raise ValidationError("Must not be less than min_price.", "max_price")


class NewAdjustmentSchema(Schema):
    """A stock adjustment to make."""

    delta = BoundedInteger(
        -STOCK_MAX,
        STOCK_MAX,
        required=True,
        metadata={
            "description": "Units to add, or to remove if negative; not 0.",
            "not": {"const": 0},
            "examples": [5],
        },
    )
    reason = CleanText(
        REASON_MAX, load_default=None, allow_none=True, metadata={"examples": ["delivery 42"]}
    )

    @validates_schema
    def check_delta(self, data: dict[str, Any], **_: Any) -> None:
        if data["delta"] == 0:
            raise ValidationError("Must not be 0.", "delta")


class AdjustmentSchema(Schema):
    """A stock adjustment, and the resulting stock level."""

    id = BoundedInteger(1, ID_MAX, required=True)
    product_id = BoundedInteger(1, ID_MAX, required=True)
    delta = fields.Integer(required=True)
    stock_level = BoundedInteger(0, STOCK_MAX, required=True)
    reason = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class NewHoldSchema(Schema):
    """Units to hold."""

    quantity = BoundedInteger(1, STOCK_MAX, required=True, metadata={"examples": [2]})
    expires_in = BoundedInteger(
        1,
        EXPIRES_IN_MAX,
        required=True,
        metadata={
            "description": "Seconds after which the hold ends by itself, up to 7 days.",
            "examples": [900],
        },
    )
    reason = CleanText(
        REASON_MAX, load_default=None, allow_none=True, metadata={"examples": ["cart 7"]}
    )


class HoldSchema(Schema):
    """Units of a product that are held, or were."""

    id = BoundedInteger(1, ID_MAX, required=True)
    product_id = BoundedInteger(1, ID_MAX, required=True)
    quantity = BoundedInteger(1, STOCK_MAX, required=True)
    reason = fields.String(required=True, allow_none=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf([HELD, COMMITTED, RELEASED, EXPIRED]),
        metadata={"description": "Only `held` units are not available to others."},
    )
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True)
