"""``GET /figures``: how much the shop has of each kind of thing."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import Select, func, select

from app.api.blueprint import ApiBlueprint
from app.api.contract import response
from app.cache.tags import cached
from app.db.reads import fetch_compiled

SHOP = "Shop"


def create_blueprint(
    things: Mapping[str, Select[int]], *, cache_tags: tuple[str, ...]
) -> ApiBlueprint:
    """Create the route, which counts the rows of statements by the names of what they select.

    Every write that changes a number invalidates one of the tags.
    """
    # One statement, so that all numbers are of the same moment.
    statement = select(
        *(
            select(func.count()).select_from(rows.subquery()).scalar_subquery().label(name)
            for name, rows in things.items()
        )
    )
    bp = ApiBlueprint("figures", __name__, tags={SHOP: "The shop as a whole."})

    @bp.get("/figures", tag=SHOP)
    @cached(*cache_tags)
    @response(200, _schema(things))
    def get_figures() -> Any:
        """Get the numbers of all things in the shop.

        They are exact, and all of the same moment.
        """
        return fetch_compiled(statement)[0]

    return bp


def _schema(names: Mapping[str, Any]) -> type[Schema]:
    counts: dict[str, fields.Field[Any]] = {
        name: fields.Integer(
            required=True,
            metadata={"minimum": 0, "description": f"The number of {name}."},
        )
        for name in names
    }
    return Schema.from_dict(counts, name="FiguresSchema")
