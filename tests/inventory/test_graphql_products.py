"""Products in GraphQL: the same data, rules and limits as in REST and as for books."""

import pytest

from app.api import scanning
from inventory import queries
from tests.bookreview.graphql_client import PAGE, Statements, ask, code, data, error

PRODUCT = "id sku name price stockLevel available archived updatedAt"
LIST = f"""query (
    $first: Int, $after: String, $name: String, $least: String, $most: String, $archived: Boolean,
    $sort: String
) {{
    products(
        first: $first, after: $after, name: $name, minPrice: $least, maxPrice: $most,
        archived: $archived, sort: $sort
    ) {{ nodes {{ {PRODUCT} }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
ONE = f"query ($id: ID!) {{ product(id: $id) {{ {PRODUCT} }} }}"
REST_NAMES = {"first": "limit", "least": "min_price", "most": "max_price"}


def as_rest(shown):
    names = {"stockLevel": "stock_level", "updatedAt": "updated_at"}
    product = {names.get(name, name): value for name, value in shown.items()}
    return {**product, "id": int(product["id"])}


def hold(client, product_id, **fields):
    body = {"quantity": 2, "expires_in": 900, **fields}
    response = client.post(f"/products/{product_id}/holds", json=body)
    assert response.status_code == 201


def test_a_product_is_the_same_as_in_rest(client, product):
    lamp = product(price=7, stock_level=5)
    hold(client, lamp)
    client.patch(f"/products/{lamp}", json={"archived": True})
    shown = data(client, ONE, id=lamp)["product"]
    assert (shown["price"], shown["available"], shown["archived"]) == ("7.00", 3, True)
    assert as_rest(shown) == client.get(f"/products/{lamp}").json


def test_a_response_with_a_hold_says_only_once_that_it_is_not_stored(client, product):
    lamp = product(stock_level=5)
    hold(client, lamp)
    for query in (f"{{ product(id: {lamp}) {{ available }} }}", "{ products { nodes { id } } }"):
        response = client.post("/graphql", json={"query": query})
        assert response.headers.getlist("Cache-Control") == ["no-store"]


def test_on_a_websocket_a_product_with_a_hold_is_read_without_a_request(app, client, product):
    lamp = product(stock_level=5)
    hold(client, lamp)
    with app.app_context():
        assert queries.product(lamp).available == 3


@pytest.mark.parametrize("id_", ["7", "abc", "", "0", "-1", "07", "9" * 20, "1.0", "\ud800", " 1"])
def test_an_unknown_product_is_null_with_a_code(shared_client, id_):
    response = ask(shared_client, ONE, id=id_)
    assert response["data"] == {"product": None}
    (problem,) = response["errors"]
    assert problem["extensions"] == {"code": "NOT_FOUND"}
    assert problem["path"] == ["product"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"sort": "id"},
        {"sort": "-name"},
        {"archived": True},
        {"archived": None, "sort": None},
        {"name": "lamp"},
        {"name": "LAMP", "sort": "-price"},
        {"name": "100% O"},
        {"name": "la", "sort": "price", "least": "1.00"},
        {"least": "2", "most": "3.5", "sort": "name"},
        {"most": "2", "archived": True, "sort": "-price"},
    ],
    ids=str,
)
def test_every_page_of_every_list_is_the_same_as_in_rest(client, product, arguments):
    for number, name in enumerate(("Lamp", "lamp, 100% oak", "Bookmark", "Lámp", "Lamp", "Desk")):
        owner = product(name=name, price=number)
        if number in {2, 4}:
            client.patch(f"/products/{owner}", json={"archived": True})
    is_search = {"name", "least", "most"} & arguments.keys()
    query = {REST_NAMES.get(key, key): value for key, value in arguments.items() if value}
    query |= {"archived": "true"} if arguments.get("archived") else {}
    path, found, pages = "/products/search" if is_search else "/products", [], 0
    after = cursor = None
    while True:
        page = data(client, LIST, first=2, after=after, **arguments)["products"]
        paging = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        rest = client.get(path, query_string={**query, **paging}).json
        assert [as_rest(node) for node in page["nodes"]] == rest["items"]
        assert [edge["node"]["id"] for edge in page["edges"]] == [n["id"] for n in page["nodes"]]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert page["pageInfo"]["hasNextPage"] == (rest["next_cursor"] is not None)
        found += page["nodes"]
        pages += 1
        after, cursor = page["pageInfo"]["endCursor"], rest["next_cursor"]
        if cursor is None:
            break
        assert after == page["edges"][-1]["cursor"]
    assert 0 < len(found) <= 2 * pages


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        ({"first": 0}, "/first"),
        ({"first": 101}, "/first"),
        ({"name": " "}, "/name"),
        ({"name": "\ud800"}, "/name"),
        ({"least": "1.005"}, "/minPrice"),
        ({"least": "-1"}, "/minPrice"),
        ({"least": "2", "most": "1"}, "/maxPrice"),
        ({"sort": "sku"}, "/sort"),
    ],
)
def test_an_invalid_argument_is_named(shared_client, arguments, pointer):
    extensions = error(shared_client, LIST, **arguments)["extensions"]
    assert extensions["code"] == "BAD_USER_INPUT"
    assert [(found["pointer"], found["in"]) for found in extensions["errors"]] == [
        (pointer, "arguments")
    ]


def test_the_total_counts_the_products_that_match(client, product):
    for number in range(5):
        product(name=f"Lamp {number}", price=number)
    client.patch(f"/products/{product(name='Old lamp')}", json={"archived": True})
    for arguments, total in [
        ("", 5),
        ("(first: 1, archived: true)", 1),
        ('(name: "lamp", maxPrice: "3", first: 2)', 4),
        ('(minPrice: "3", sort: "price")', 2),
        ('(minPrice: "3", sort: "-price")', 2),
    ]:
        shown = data(client, f"{{ products{arguments} {{ totalCount }} }}")["products"]
        assert shown == {"totalCount": total}, arguments
    assert code(client, '{ products(name: "la") { totalCount } }') == "BAD_USER_INPUT"


def test_a_page_that_finds_nothing_continues_after_what_it_has_searched(
    client, product, monkeypatch
):
    monkeypatch.setattr(scanning, "MAX_SCANNED_ROWS", 3)
    for number in range(8):
        product(name=f"Chair {number}")
    lamp = product(name="Lamp")
    after, found, sizes = None, [], []
    for _ in range(9):
        page = data(client, LIST, name="la", after=after)["products"]
        found += [node["id"] for node in page["nodes"]]
        sizes.append(len(page["nodes"]))
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == [str(lamp)]
    assert sizes[:2] == [0, 0]


def test_a_cursor_is_valid_only_for_its_own_list(client, product):
    for number in range(3):
        product(name=f"Lamp {number}")
    cursor = data(client, LIST, first=1, name="lamp")["products"]["pageInfo"]["endCursor"]
    assert data(client, LIST, first=1, name="lamp", after=cursor)
    for other in ({}, {"name": "lam"}, {"name": "lamp", "sort": "price"}, {"archived": True}):
        assert code(client, LIST, after=cursor, **other) == "BAD_REQUEST"
    query = "query ($after: String) { books(after: $after) { nodes { id } } }"
    assert code(client, query, after=cursor) == "BAD_REQUEST"
    assert client.get(f"/products/search?name=lamp&cursor={cursor}").status_code == 400


def test_a_page_costs_one_statement_and_its_total_another(app, client, product):
    for number in range(3):
        hold(client, product(name=f"Lamp {number}", stock_level=9))
    for query, statements in [
        ("{ product(id: 1) { name available } }", 1),
        ("{ products { nodes { available } edges { cursor } pageInfo { endCursor } } }", 1),
        ('{ products(name: "lamp", minPrice: "1") { nodes { id } } }', 1),
        ("{ products { nodes { id } totalCount again: totalCount } }", 3),
    ]:
        with Statements(app) as sent:
            data(client, query)
        assert len(sent) == statements, query


def test_products_and_books_count_together_for_the_limit_of_items(client, book, product):
    book(), product()
    lists = " ".join(f"a{number}: products(first: 100) {{ nodes {{ id }} }}" for number in range(9))
    fits = f"{{ {lists} books(first: 99) {{ nodes {{ id }} }} }}"
    assert len(data(client, fits)) == 10
    nested = "books(first: 100) { nodes { reviews(first: 1) { nodes { id } } } }"
    response = ask(client, f"{{ {lists} {nested} }}")
    assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "1000" in str(response["errors"][0]["extensions"]["errors"])
