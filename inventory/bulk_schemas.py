"""The shapes of bulk requests and of their results."""

from collections.abc import Mapping
from typing import Any, cast

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.fields import ID_MAX, BoundedInteger, KeyText, OneOf, StrictBoolean, create_loader
from app.errors import ApiError, Unprocessable
from inventory.models import SKU_MAX
from inventory.schemas import (
    NewAdjustmentSchema,
    NewProductSchema,
    ProductChangeSchema,
    ProductSchema,
)

OPERATIONS_MAX = 10_000
ETAG_MAX = 24
CREATE, UPDATE, ADJUST = "create", "update", "adjust"
TARGET = frozenset({"op", "id", "sku", "if_match"})


def _op(name: str) -> fields.String:
    return fields.String(
        required=True, validate=validate.OneOf([name]), metadata={"examples": [name]}
    )


def _id() -> BoundedInteger:
    text = "Names the product, as `sku` does: one of the two is needed."
    return BoundedInteger(1, ID_MAX, metadata={"description": text, "examples": [7]})


def _if_match() -> fields.String:
    return fields.String(
        validate=validate.Length(1, ETAG_MAX),
        metadata={
            "description": "The ETag of the product without its quotes. If the product has "
            "another one by now, the result is a 412.",
            "examples": ["3"],
        },
    )


class BulkCreateSchema(NewProductSchema):
    """A product to add."""

    op = _op(CREATE)


class BulkUpdateSchema(ProductChangeSchema):
    """New values of a product, named by `id` or `sku`; with `id`, `sku` is a new value."""

    op = _op(UPDATE)
    id = _id()
    sku = KeyText(SKU_MAX, metadata={"examples": ["BM-OAK"]})
    if_match = _if_match()

    @validates_schema
    def check_not_empty(self, data: dict[str, Any], **_: Any) -> None:
        """Check that there is a product and something to change: op, id and if_match are not."""
        if "id" not in data and "sku" not in data:
            raise ValidationError("Provide id or sku.")
        if data.keys() <= (TARGET if "id" not in data else TARGET - {"sku"}):
            raise ValidationError("Provide a value to change.")


class BulkAdjustSchema(NewAdjustmentSchema):
    """A stock adjustment of a product, named by either `id` or `sku`."""

    op = _op(ADJUST)
    id = _id()
    sku = KeyText(SKU_MAX, metadata={"examples": ["BM-OAK"]})
    if_match = _if_match()

    @validates_schema
    def check_target(self, data: dict[str, Any], **_: Any) -> None:
        if ("id" in data) == ("sku" in data):
            raise ValidationError("Provide either id or sku.")


SCHEMAS: Mapping[str, Schema] = {
    CREATE: create_loader(BulkCreateSchema),
    UPDATE: create_loader(BulkUpdateSchema),
    ADJUST: create_loader(BulkAdjustSchema),
}


class BulkSchema(Schema):
    """Operations on products, which take effect in their order."""

    operations = fields.List(
        OneOf([BulkCreateSchema, BulkUpdateSchema, BulkAdjustSchema]),
        required=True,
        validate=validate.Length(1, OPERATIONS_MAX),
        metadata={
            "description": "Each has its own result. One that is invalid is a 422 among them.",
            "examples": [[{"op": ADJUST, "sku": "BM-OAK", "delta": 5, "reason": "delivery 42"}]],
        },
    )
    atomic = StrictBoolean(
        load_default=False,
        metadata={
            "description": "If one operation is refused, none takes effect, and the response is "
            "409 with the results."
        },
    )
    dry_run = StrictBoolean(
        load_default=False,
        metadata={"description": "Return the results, and change nothing."},
    )


class BulkResultSchema(Schema):
    """The result of one operation: the product as it left it, or a problem."""

    status = fields.Integer(
        required=True, metadata={"description": "The status of the same request by itself."}
    )
    product = fields.Nested(
        ProductSchema,
        metadata={"description": "Missing if a dry run would create it: it would have no id."},
    )
    etag = fields.String(
        metadata={"description": "The ETag of the product without its quotes, for `if_match`."}
    )
    problem = fields.Raw(metadata={"allOf": [{"$ref": "#/components/schemas/Problem"}]})


class BulkResultsSchema(Schema):
    """One result for each operation, in their order."""

    results = fields.List(fields.Nested(BulkResultSchema), required=True)


def read_operation(position: int, row: Any) -> dict[str, Any] | ApiError:
    """Return the values of an operation, or why they are invalid."""
    try:
        values: dict[str, Any] = _schema_of(row).load(row)
    except ValidationError as error:
        return Unprocessable(
            {"operations": {position: cast(Any, error).normalized_messages()}}, "body"
        )
    return values


def _schema_of(row: Any) -> Schema:
    if not isinstance(row, Mapping):
        raise ValidationError("Not an object.")
    op = row.get("op")
    if not isinstance(op, str) or op not in SCHEMAS:
        raise ValidationError(f"Must be one of: {', '.join(SCHEMAS)}.", "op")
    return SCHEMAS[op]
