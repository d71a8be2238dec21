"""``GET /figures``: how much the shop has of each kind of thing."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import func, select

from app.api.blueprint import ApiBlueprint
from app.api.contract import response
from app.cache.tags import cached
from app.db.reads import fetch_compiled
from app.extensions import Base

SHOP = "Shop"


def create_blueprint(
    models: Mapping[str, type[Base]], *, cache_tags: tuple[str, ...]
) -> ApiBlueprint:
    """Create the route; it counts the rows of each model. Every write changes one of the tags."""
    # One statement, so that all numbers are of the same moment.
    statement = select(
        *(
            select(func.count()).select_from(model).scalar_subquery().label(name)
            for name, model in models.items()
        )
    )
    bp = ApiBlueprint("figures", __name__, tags={SHOP: "The shop as a whole."})

    @bp.get("/figures", tag=SHOP)
    @cached(*cache_tags)
    @response(200, _schema(models))
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
