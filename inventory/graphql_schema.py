"""The GraphQL queries of products, over the same queries as REST."""

from functools import partial
from typing import Any

import strawberry
from strawberry import ID, UNSET

from app.graphql.relay import Connection, ResultPage, page_request
from app.graphql.schema import DateTime, GraphQLInfo, parse_node_id, to_datetime
from inventory import queries, search
from inventory.schemas import ProductQuery, ProductSearchQuery

LIST, SEARCH = ProductQuery(), ProductSearchQuery()


@strawberry.type(description="A product, with its stock in whole units.")
class Product:
    """A product, with its stock in whole units."""

    id: ID
    sku: str = strawberry.field(description="Stock keeping unit, unique.")
    name: str
    price: str = strawberry.field(description='An amount with two decimals: "19.99".')
    stock_level: int
    available: int = strawberry.field(description="The stock level less what is held now.")
    archived: bool = strawberry.field(
        description="Whether lists and searches leave the product out, and its stock cannot be "
        "changed."
    )
    updated_at: DateTime

    @classmethod
    def of(cls, row: Any) -> "Product":
        return cls(
            id=ID(str(row.id)),
            sku=row.sku,
            name=row.name,
            price=str(row.price),
            stock_level=row.stock_level,
            available=row.available,
            archived=row.archived,
            updated_at=to_datetime(row.updated_at),
        )


@strawberry.type
class Query:
    """The queries of products."""

    @strawberry.field(
        description="One product, archived or not; null, with the error NOT_FOUND, for an unknown "
        "id."
    )
    def product(self, info: GraphQLInfo, id: ID) -> Product | None:  # noqa: A002 - its name
        info.context.charge_nodes(1)
        return Product.of(queries.product(parse_node_id(id, "product")))

    @strawberry.field(
        description="The products that match all filters, ordered by `sort`: `id`, or `name` or "
        "`price`, each also with a leading minus for descending order. `name` is a part of the "
        'name, in any case; `minPrice` and `maxPrice` are amounts such as "5.00", inclusive; '
        "`archived: true` lists the archived products, instead of all others. For a name without "
        "three consecutive letters or digits each page searches a bounded number of products: it "
        "may have fewer items than `first` and still a next page, and there is no `totalCount`."
    )
    def products(  # noqa: PLR0917 - GraphQL passes all arguments by name
        self,
        info: GraphQLInfo,
        first: int | None = 20,
        after: str | None = UNSET,
        name: str | None = UNSET,
        min_price: str | None = UNSET,
        max_price: str | None = UNSET,
        archived: bool | None = UNSET,
        sort: str | None = UNSET,
    ) -> Connection[Product]:
        filters = {"name": name, "min_price": min_price, "max_price": max_price}
        is_search = any(value not in {None, UNSET} for value in filters.values())
        schema = SEARCH if is_search else LIST
        page, query = page_request(
            schema, "products", first, after, archived=archived, sort=sort, **filters
        )
        info.context.charge_nodes(page.limit)
        found = search.products(page, **query)
        count = partial(search.count_products, **query)
        result_page = ResultPage(found, queries.ORDERS[query["sort"]], page, count)
        return Connection(nodes=[Product.of(row) for row in found.items], page=result_page)
