"""The events of bulk requests: one or more for each operation, in the order of the operations."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import event as sql_event

from app.extensions import db
from inventory import bulk
from tests.app.events.steps import read_all
from tests.waiting import served

THREADS, ROUNDS = 8, 12


def create(sku, **fields):
    return {"op": "create", "sku": sku, "name": "Lamp", "price": 1, **fields}


def adjust(target, delta, **fields):
    return {"op": "adjust", "id": target, "delta": delta, **fields}


def send(client, operations, headers=None, **options):
    body = {"operations": operations, **options}
    return client.post("/products/bulk", json=body, headers=headers or {})


@pytest.fixture
def products(client, added):
    """The products 1 and 2, with 5 units in stock; one of the first is held."""
    assert send(client, [create("a", stock_level=5), create("b", stock_level=5)]).status_code == 200
    client.post("/products/1/holds", json={"quantity": 1, "expires_in": 600_000})
    added()


OPERATIONS = [
    create("c", stock_level=2),
    adjust(1, 3, reason="delivery"),
    {"op": "update", "id": 2, "name": "Shelf", "stock_level": 4},
    adjust(1, -20),
    {"op": "update", "sku": "c", "archived": True},
    {"op": "update", "id": 2, "name": "Shelf"},
    adjust(1, -1),
    {"op": "update", "sku": "c", "archived": False, "price": 2},
]
EXPECTED = [
    (0, "product.created", None),
    (1, "stock.changed", (3, "delivery")),
    (2, "product.changed", None),
    (2, "stock.changed", (-1, "stock level set")),
    (4, "product.archived", None),
    (6, "stock.changed", (-1, None)),
    (7, "product.changed", None),
    (7, "product.restored", None),
]


@pytest.mark.parametrize(
    ("chunk", "headers"), [(1_000, {}), (3, {}), (1_000, {"Idempotency-Key": "k"})]
)
def test_each_operation_has_the_events_of_a_request_of_its_own(  # noqa: PLR0917 - fixtures
    client, products, added, monkeypatch, chunk, headers
):
    monkeypatch.setattr(bulk, "CHUNK", chunk)
    for attempt in range(2 if headers else 1):
        response = send(client, OPERATIONS, headers)
        assert ("Idempotency-Replayed" in response.headers) == bool(attempt)
    results = response.json["results"]
    assert [result["status"] for result in results] == [201, 201, 200, 409, 200, 200, 201, 200]
    expected = []
    for number, kind, change in EXPECTED:
        product = results[number]["product"]
        more = {"delta": change[0], "reason": change[1]} if change else {}
        expected.append((kind, f"product:{product['id']}", {**product, **more}))
    found = added()
    assert found == expected
    assert found[-1][2] == client.get("/products/3").json
    assert found[5][2] == {**client.get("/products/1").json, "delta": -1, "reason": None}
    assert found[5][2]["available"] == 6


@pytest.mark.parametrize(
    ("operations", "options", "status"),
    [
        (OPERATIONS, {"atomic": True}, 409),
        (OPERATIONS, {"dry_run": True}, 200),
        ([{"op": "update", "id": 1, "name": "Lamp", "archived": False}], {}, 200),
        ([create("a"), adjust(1, -5), adjust(9, 1), {"op": "none"}], {}, 200),
    ],
)
def test_what_changes_nothing_is_no_event(  # noqa: PLR0917 - the columns of a table
    client, products, added, operations, options, status
):
    assert send(client, operations, **options).status_code == status
    assert added() == []


def test_a_thousand_operations_insert_their_events_together_and_last(app, client, added):
    statements = []
    with app.app_context():
        engine = db.engine
    sql_event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    response = send(client, [create(f"s{number}", stock_level=1) for number in range(1_000)])
    (place,) = (n for n, sql in enumerate(statements) if sql.startswith("INSERT INTO event "))
    assert [sql for sql in statements[place + 1 :] if sql.startswith(("INSERT", "SELECT"))] == []
    shown = [result["product"] for result in response.json["results"]]
    assert added() == [("product.created", f"product:{each['id']}", each) for each in shown]


def test_the_levels_of_one_product_chain_up_in_the_order_of_the_feed(make_app, postgres_database):
    """Eight clients at the same time change it alone and in bulk, and also hold and sell it."""
    app = make_app(postgres_database)
    setup = app.test_client()
    send(setup, [create(f"s{number}", stock_level=100) for number in range(3)])

    def work(number):
        client = app.test_client()
        for step in range(ROUNDS):
            if (number + step) % 4 == 0:
                options = {"headers": {"Idempotency-Key": f"{number}-{step}"}} if step % 2 else {}
                operations = [adjust(1, number + 1), adjust(2, -1), adjust(1, -1)]
                request = partial(send, client, operations, **options)
            elif (number + step) % 4 == 1:
                path, body = "/products/1/stock-adjustments", {"delta": -number}
                request = partial(client.post, path, json=body)
            elif (number + step) % 4 == 2:
                request = partial(client.patch, "/products/1", json={"stock_level": 50 + step})
            else:
                body = {"quantity": 1, "expires_in": 600}
                hold = served(partial(client.post, "/products/1/holds", json=body))
                request = partial(client.post, f"/holds/{hold.json['id']}/commit")
            response = served(request)
            assert response.status_code in {200, 201, 409, 422}, response.json

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    told = [(event.type, json.loads(event.data)) for event in read_all(app)]
    for product_id in (1, 2):
        changes = [data for kind, data in told if kind == "stock.changed"]
        changes = [data for data in changes if data["id"] == product_id]
        assert len(changes) >= THREADS * ROUNDS / 4
        level = 100
        for data in changes:
            level += data["delta"]
            assert data["stock_level"] == level
        product = setup.get(f"/products/{product_id}").json
        assert (product["stock_level"], product["updated_at"]) == (level, changes[-1]["updated_at"])
