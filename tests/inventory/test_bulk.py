"""Bulk requests: each operation and refusal, atomic requests, dry runs, and repeated requests."""

import json

import pytest

from app.config import Rate
from app.extensions import db
from inventory import bulk
from inventory.bulk_schemas import OPERATIONS_MAX
from inventory.views import BULK_MAX_BYTES
from tests.inventory.stock import ledger


@pytest.fixture
def change(client):
    """Send operations, and return the results."""

    def send(*operations, status=200, headers=None, **options):
        body = {"operations": operations, **options}
        response = client.post("/products/bulk", json=body, headers=headers)
        assert response.status_code == status, response.json
        return response.json["results"]

    return send


@pytest.fixture
def everything(client):
    """Return all products and their ledgers."""

    def read():
        products = client.get("/products?limit=100").json["items"]
        archived = client.get("/products?limit=100&archived=true").json["items"]
        return [(each, ledger(client, each["id"])) for each in [*products, *archived]]

    return read


def statuses(results):
    return [result["status"] for result in results]


def detail(result):
    assert result["problem"]["status"] == result["status"]
    return result["problem"]["detail"]


def lamp(**fields):
    return {"op": "create", "sku": "lamp", "name": "Lamp", "price": "19.99", **fields}


def test_a_product_is_created_as_by_itself(client, change):
    (result,) = change(lamp(stock_level=3, price=5))
    product = result["product"]
    assert (result["status"], result["etag"]) == (201, "1")
    response = client.get(f"/products/{product['id']}")
    assert (response.json, response.headers["ETag"]) == (product, '"1"')
    assert (product["price"], product["stock_level"]) == ("5.00", 3)
    assert ledger(client, product["id"]) == [(3, 3, "first stock")]
    assert client.get("/products/search?name=LAM").json["items"] == [product]


def test_a_product_is_changed_by_id_or_sku(client, change, product):
    first, second = product(sku="a"), product(sku="b", stock_level=2)
    results = change(
        {"op": "update", "sku": "a", "price": "1.50", "name": "Desk lamp"},
        {"op": "update", "id": second, "stock_level": 5, "sku": "c"},
    )
    assert statuses(results) == [200, 200]
    for product_id, result in zip((first, second), results, strict=True):
        response = client.get(f"/products/{product_id}")
        assert response.json == result["product"]
        assert response.headers["ETag"] == f'"{result["etag"]}"' == '"2"'
    assert results[0]["product"]["name"] == "Desk lamp"
    assert results[1]["product"]["sku"] == "c"
    assert ledger(client, second) == [(3, 5, "stock level set"), (2, 2, "first stock")]
    assert client.get("/products/search?name=desk").json["items"] == [results[0]["product"]]


def test_stock_is_adjusted_by_id_or_sku(client, change, product):
    first, second = product(sku="a", stock_level=5), product(sku="b")
    results = change(
        {"op": "adjust", "id": first, "delta": -2, "reason": "order 42"},
        {"op": "adjust", "sku": "b", "delta": 7},
    )
    assert statuses(results) == [201, 201]
    assert ledger(client, first) == [(-2, 3, "order 42"), (5, 5, "first stock")]
    assert ledger(client, second) == [(7, 7, None)]


def test_operations_on_the_same_product_take_effect_in_order(client, change):
    results = change(
        lamp(stock_level=1),
        {"op": "adjust", "sku": "lamp", "delta": 4},
        {"op": "adjust", "sku": "lamp", "delta": -6},
        {"op": "update", "sku": "lamp", "price": "2.00", "if_match": "2"},
        {"op": "update", "sku": "lamp", "price": "3.00", "if_match": "2"},
        lamp(),
        {"op": "update", "sku": "lamp", "price": "2.00"},
    )
    assert statuses(results) == [201, 201, 409, 200, 412, 409, 200]
    assert [r.get("etag") for r in results] == ["1", "2", None, "3", None, None, "3"]
    levels = [r["product"]["stock_level"] for r in results if "product" in r]
    assert levels == [1, 5, 5, 5]
    product_id = results[0]["product"]["id"]
    assert client.get(f"/products/{product_id}").json == results[-1]["product"]
    assert ledger(client, product_id) == [(4, 5, None), (1, 1, "first stock")]


def test_products_can_exchange_their_skus(client, change, product):
    first, second = product(sku="a"), product(sku="b")
    results = change(
        {"op": "update", "id": first, "sku": "b"},
        {"op": "update", "id": first, "sku": "c"},
        {"op": "update", "id": second, "sku": "a"},
        {"op": "update", "id": first, "sku": "b"},
        {"op": "create", "sku": "c", "name": "C", "price": 1},
        {"op": "create", "sku": "b", "name": "B", "price": 1},
    )
    assert statuses(results) == [409, 200, 200, 200, 201, 409]
    assert client.get(f"/products/{first}").json["sku"] == "b"
    assert client.get(f"/products/{second}").json["sku"] == "a"


@pytest.mark.parametrize(
    ("operation", "refusal"),
    [
        (lamp(sku="a"), (409, "A product with SKU a already exists.")),
        ({"op": "adjust", "sku": "a", "delta": -6}, (409, "There are 5 units in stock")),
        ({"op": "adjust", "sku": "a", "delta": 2**31 - 1}, (409, "the maximum is 2147483647")),
        ({"op": "adjust", "sku": "a", "delta": -3}, (409, "held")),
        ({"op": "update", "sku": "a", "stock_level": 2}, (409, "held")),
        ({"op": "adjust", "sku": "old", "delta": 1}, (409, "archived")),
        ({"op": "update", "sku": "old", "stock_level": 1}, (409, "archived")),
        ({"op": "adjust", "sku": "none", "delta": 1}, (404, "There is no product none.")),
        ({"op": "update", "id": 2**31 - 1, "price": 1}, (404, "There is no product 2147483647.")),
        ({"op": "update", "sku": "a", "price": 1, "if_match": "1"}, (412, "has changed")),
        ({"op": "adjust", "sku": "a", "delta": 1, "if_match": '"1-2"'}, (412, "has changed")),
    ],
)
def test_an_operation_is_refused_as_by_itself(client, product, everything, operation, refusal):
    held, old = product(sku="a", stock_level=5), product(sku="old")
    hold = client.post(f"/products/{held}/holds", json={"quantity": 3, "expires_in": 900})
    assert hold.status_code == 201
    assert client.patch(f"/products/{old}", json={"archived": True}).status_code == 200
    before = everything()
    response = client.post("/products/bulk", json={"operations": [operation]})
    (result,) = response.json["results"]
    status, words = refusal
    assert (result["status"], words in detail(result)) == (status, True), result
    assert everything() == before


def test_what_is_held_counts(client, change, product):
    held = product(sku="a", stock_level=5)
    client.post(f"/products/{held}/holds", json={"quantity": 3, "expires_in": 900})
    results = change(
        {"op": "adjust", "sku": "a", "delta": -1, "if_match": "1-2"},
        {"op": "adjust", "sku": "a", "delta": -1, "if_match": "2-1"},
        {"op": "adjust", "sku": "a", "delta": -1},
    )
    assert statuses(results) == [201, 201, 409]
    assert [r["product"]["available"] for r in results[:2]] == [1, 0]
    assert client.get(f"/products/{held}").headers["ETag"] == '"3-0"'


@pytest.mark.parametrize(
    ("operation", "pointer"),
    [
        (3, "/operations/1"),
        (None, "/operations/1"),
        ({}, "/operations/1/op"),
        ({"op": ["create"]}, "/operations/1/op"),
        ({"op": "delete", "id": 1}, "/operations/1/op"),
        ({"op": "create", "sku": "x", "name": "X"}, "/operations/1/price"),
        (lamp(id=7), "/operations/1/id"),
        (lamp(price="1.005"), "/operations/1/price"),
        ({"op": "update", "sku": "a"}, "/operations/1"),
        ({"op": "update", "id": 1}, "/operations/1"),
        ({"op": "update", "price": 1}, "/operations/1"),
        ({"op": "update", "sku": "a", "delta": 1}, "/operations/1/delta"),
        ({"op": "adjust", "delta": 1}, "/operations/1"),
        ({"op": "adjust", "sku": "a", "id": 1, "delta": 1}, "/operations/1"),
        ({"op": "adjust", "sku": "a", "delta": 0}, "/operations/1/delta"),
        ({"op": "adjust", "sku": "a", "delta": 1, "if_match": 3}, "/operations/1/if_match"),
        ({"op": "adjust", "sku": "a", "delta": 1, "reason": "a\u0000b"}, "/operations/1/reason"),
    ],
)
def test_an_invalid_operation_is_a_422_of_its_own(client, change, product, operation, pointer):
    held = product(sku="a")
    first, second, third = change(
        {"op": "adjust", "sku": "a", "delta": 1},
        operation,
        {"op": "adjust", "sku": "a", "delta": 1},
    )
    assert (first["status"], second["status"], third["status"]) == (201, 422, 201)
    assert pointer in [error["pointer"] for error in second["problem"]["errors"]]
    assert client.get(f"/products/{held}").json["stock_level"] == 2


def test_an_operation_with_an_unknown_field_is_told_which_are_known(change):
    (result,) = change({"op": "create", "sku": "a", "name": "A", "price": 1, "cost": 1})
    (error,) = result["problem"]["errors"]
    assert error["pointer"] == "/operations/0/cost"
    assert error["detail"] == "Unknown field. Known are: sku, name, price, stock_level, op."


def test_a_new_product_that_is_archived_is_named(change):
    archived = {"op": "update", "sku": "lamp", "archived": True}
    results = change(lamp(), archived, {"op": "adjust", "sku": "lamp", "delta": 1})
    assert statuses(results) == [201, 200, 409]
    assert detail(results[2]) == "The product lamp is archived: its stock cannot be changed."


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operations": []},
        {"operations": {}},
        {"operations": [{"op": "adjust", "id": 1, "delta": 1}] * (OPERATIONS_MAX + 1)},
        {"operations": [lamp()], "atomic": "yes"},
        {"operations": [lamp()], "dry_run": 1},
        {"operations": [lamp()], "unknown": 1},
    ],
    ids=["nothing", "none", "object", "too many", "atomic", "dry run", "unknown"],
)
def test_an_invalid_request_is_a_422_and_nothing_changes(client, everything, body):
    assert client.post("/products/bulk", json=body).status_code == 422
    assert everything() == []


def test_an_atomic_request_changes_all_or_nothing(change, product, everything):
    product(sku="a", stock_level=5)
    before = everything()
    good = [
        {"op": "adjust", "sku": "a", "delta": 1},
        lamp(),
        {"op": "update", "sku": "a", "price": 1},
    ]
    bad = [{"op": "adjust", "sku": "a", "delta": -7}, {"op": "adjust", "sku": "a"}]
    results = change(*good, *bad, atomic=True, status=409)
    assert statuses(results) == [424, 424, 424, 409, 422]
    assert all(detail(result) for result in results)
    assert everything() == before
    assert statuses(change(*good, atomic=True)) == [201, 201, 200]
    assert [each["sku"] for each, _ in everything()] == ["a", "lamp"]


@pytest.mark.parametrize("atomic", [False, True])
def test_a_dry_run_has_the_same_results_and_changes_nothing(change, product, everything, atomic):
    product(sku="a", stock_level=5)
    before = everything()
    operations = [
        {"op": "adjust", "sku": "a", "delta": -2},
        lamp(stock_level=1),
        {"op": "adjust", "sku": "lamp", "delta": 2},
        {"op": "adjust", "sku": "a", "delta": -2},
    ]
    dry = change(*operations, dry_run=True, atomic=atomic)
    assert everything() == before
    wet = change(*operations, atomic=atomic)
    assert statuses(dry) == statuses(wet) == [201] * 4
    assert [r["product"]["stock_level"] for r in wet] == [3, 1, 3, 1]
    assert [r.get("product", {}).get("stock_level") for r in dry] == [3, None, None, 1]
    assert dry[3]["etag"] == wet[3]["etag"] == "3"
    refused = 409 if atomic else 200
    change({**operations[0], "delta": -9}, dry_run=True, atomic=atomic, status=refused)


@pytest.mark.parametrize("options", [{}, {"atomic": True}, {"dry_run": True}])
def test_a_request_is_repeated_with_its_key(client, change, product, everything, options):
    product(sku="a", stock_level=5)
    operations = [
        {"op": "adjust", "sku": "a", "delta": -3},
        {"op": "adjust", "sku": "b", "delta": 1},
    ]
    operations = operations[:1] if options.get("atomic") else operations
    body = {"operations": operations, **options}
    headers = {"Idempotency-Key": "k"}
    first, again = (client.post("/products/bulk", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert everything()[0][0]["stock_level"] == (5 if options.get("dry_run") else 2)
    other = client.post("/products/bulk", json={"operations": [lamp()]}, headers=headers)
    assert other.status_code == 422


def test_an_atomic_request_that_was_refused_can_be_sent_again_with_its_key(change, product):
    product(sku="a", stock_level=1)
    sale = {"op": "adjust", "sku": "a", "delta": -2}
    headers = {"Idempotency-Key": "k"}
    change(sale, atomic=True, status=409, headers=headers)
    change({"op": "adjust", "sku": "a", "delta": 1})
    assert statuses(change(sale, atomic=True, headers=headers)) == [201]


def test_chunks_are_transactions_unless_the_request_is_one(client, change, product, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK", 2)
    commits = []
    product(sku="a")
    monkeypatch.setattr(bulk, "commit", lambda **tags: commits.append(tags) or db.session.commit())
    add = {"op": "adjust", "sku": "a", "delta": 1}
    change(*[add] * 5)
    assert len(commits) == 3
    change(*[add] * 5, atomic=True)
    assert len(commits) == 4


def test_every_operation_counts_as_a_tenth_of_a_write(make_app, database):
    client = make_app(database, rate_limit_write=Rate(20, 600)).test_client()
    add = {"op": "adjust", "sku": "a", "delta": 1}

    def send(count):
        return client.post("/products/bulk", json={"operations": [add] * count})

    left = [send(count).headers["RateLimit"].split(";")[1] for count in (1, 10, 11, 95)]
    assert left == ["r=19", "r=18", "r=16", "r=6"]
    refused = send(70)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert send(50).status_code == 200
    too_many = send(201)
    assert (too_many.status_code, send(1).status_code) == (429, 429)


def test_a_request_that_costs_more_than_the_quota_takes_all_of_it(make_app, database):
    client = make_app(database, rate_limit_write=Rate(20, 600)).test_client()
    add = {"op": "adjust", "sku": "a", "delta": 1}
    response = client.post("/products/bulk", json={"operations": [add] * 1_000})
    assert (response.status_code, response.headers["RateLimit"].split(";")[1]) == (200, "r=0")
    assert client.post("/products/bulk", json={"operations": [add]}).status_code == 429


@pytest.mark.parametrize("max_body_bytes", [2_000, 100_000_000])
def test_the_body_may_have_8_mib_whatever_other_bodies_may_have(
    make_app, sqlite_database, max_body_bytes
):
    client = make_app(sqlite_database, max_body_bytes=max_body_bytes).test_client()
    body = json.dumps({"operations": [lamp()]}).ljust(BULK_MAX_BYTES)
    options = {"content_type": "application/json"}
    assert client.post("/products/bulk", data=body, **options).status_code == 200
    assert client.post("/products/bulk", data=body + " ", **options).status_code == 413
    assert client.post("/products", data=body, **options).status_code == (
        413 if max_body_bytes < BULK_MAX_BYTES else 422
    )
