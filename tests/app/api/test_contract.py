"""The decorators of views: the options that they declare, and the schemas that they reject."""

from collections import namedtuple
from decimal import Decimal
from types import SimpleNamespace

import pytest
from marshmallow import Schema, fields

from app.api.contract import arguments, response
from app.api.fields import BoundedInteger, Price, QuerySchema
from app.api.pagination import Page
from app.auth.api_keys import checks_write_access_itself, scope
from app.cache.tags import cached
from app.http.route_options import DEFAULTS, ResponseContract, RouteOptions, options_of


class LampSchema(Schema):
    id = BoundedInteger(1, 9)
    name = fields.String()
    note = fields.String(load_only=True, data_key="remark")


class LampQuery(QuerySchema):
    name = fields.String()


class Upper(fields.String):
    def _serialize(self, value, *args, **kwargs):
        return value.upper()


def view(**_):
    return SimpleNamespace(id=1, name="Lamp")


def test_every_decorator_adds_its_options_to_those_of_the_others():
    decorated = cached("lamps")(
        scope("lamps:write")(
            arguments(LampQuery)(arguments(LampSchema)(response(201, LampSchema, 409)(view)))
        )
    )
    contract = ResponseContract(201, LampSchema, False, None, False, frozenset({409}))
    assert options_of(decorated) == RouteOptions(
        response=contract,
        query=LampQuery,
        body=LampSchema,
        cache_tags=("lamps",),
        scope="lamps:write",
    )
    assert decorated.__name__ == "view"


def test_a_decorator_does_not_change_the_options_of_the_view_that_it_wraps():
    inner = response(200, LampSchema)(view)
    before = options_of(inner)
    arguments(LampQuery)(inner)
    assert options_of(inner) is before
    assert options_of(view) is DEFAULTS
    assert options_of(None) is DEFAULTS


def test_a_view_can_declare_that_it_checks_write_access_itself():
    assert options_of(checks_write_access_itself(lambda: None)).checks_write_access_itself


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (fields.String(data_key="title"), "data_key"),
        (fields.String(attribute="title"), "attribute"),
        (fields.String(dump_default="none"), "dump_default"),
        (fields.Integer(as_string=True), "as_string"),
        (fields.AwareDateTime(format="rfc"), "format"),
        (fields.Method("dump"), "Method serializes by itself"),
        (fields.Function(lambda lamp: lamp.name), "Function serializes by itself"),
        (fields.Nested(Schema.from_dict({"name": Upper()})), "Upper serializes by itself"),
        (fields.List(Upper()), "Upper serializes by itself"),
        (Upper(), "Upper serializes by itself"),
    ],
)
@pytest.mark.parametrize("paged", [False, True])
def test_a_schema_that_depends_on_dump_is_rejected(field, reason, paged):
    schema = Schema.from_dict({"name": field}, name="ShelfSchema")
    with pytest.raises(TypeError, match=reason) as error:
        response(200, schema, paged=paged)
    assert "Schema.name" in str(error.value)


def test_fields_that_are_encoded_without_dump_are_accepted():
    response(
        200,
        Schema.from_dict(
            {
                "id": fields.Integer(),
                "rating": fields.Float(allow_none=True),
                "is_new": fields.Boolean(),
                "added_at": fields.AwareDateTime(),
                "price": Price(Decimal("9.99")),
                "note": fields.Method(deserialize="load", load_only=True),
            }
        ),
    )


@pytest.mark.parametrize("columns", ["id", "id shelf name", "id shelf"])
def test_a_query_that_does_not_select_the_fields_first_is_a_bug(columns):
    row = namedtuple("Row", columns.split())(*range(len(columns.split())))
    list_lamps = response(200, LampSchema, paged=True)(lambda: Page([row], None))
    with pytest.raises(TypeError, match="the query selects"):
        list_lamps()
