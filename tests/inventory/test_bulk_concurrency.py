"""Bulk requests at the same time: two workers on both databases, and a database that fails."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.config import database_url
from app.db import engine
from app.extensions import db
from inventory import bulk

PRODUCTS = 150
CLIENTS = 4
REQUESTS = 8


@pytest.fixture
def served(serve, database):
    """The service with two workers."""
    return serve(DATABASE_URL=database, WEB_CONCURRENCY="2")


def send(served, operations, key=None, **options):
    """Send a bulk request; return its results."""
    body = json.dumps({"operations": operations, **options}).encode()
    headers = {"Idempotency_Key": key} if key else {}
    status, _, answer = served.insist("POST", "/products/bulk", body, **headers)
    assert status == 200, answer
    return json.loads(answer)["results"]


def statuses(results):
    return Counter(result["status"] for result in results)


def create(number, **fields):
    return {"op": "create", "sku": f"s{number}", "name": "Lamp", "price": 1, **fields}


def levels(database):
    """Return the level of each product by SKU, and the sum of its ledger."""
    engine = create_engine(database_url(database), poolclass=NullPool)
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT sku, product.stock_level, product.version, SUM(delta) FROM product"
                " JOIN stock_adjustment ON product_id = product.id"
                " GROUP BY sku, product.stock_level, product.version"
            )
        ).all()
    return {sku: (level, version, total) for sku, level, version, total in rows}


def simultaneously(work):
    """Call ``work`` with the number of each client, all at the same time; return the results."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, range(CLIENTS)))


def test_requests_on_the_same_products_in_any_order_lose_nothing_and_never_wait_for_each_other(
    served, database
):
    results = send(served, [create(number, stock_level=1_000) for number in range(PRODUCTS)])
    ids = [result["product"]["id"] for result in results]

    def work(client):
        dice, found = random.Random(client), Counter()
        for number in range(REQUESTS):
            targets = [{"id": ids[n]} if n % 2 else {"sku": f"s{n}"} for n in range(PRODUCTS)]
            dice.shuffle(targets)
            operations = [{"op": "adjust", **target, "delta": client - 5} for target in targets]
            key = f"{client}-{number}" if number % 3 == 0 else None
            found += statuses(send(served, operations, key, atomic=number % 3 == 1))
        return found

    assert sum(simultaneously(work), Counter()) == {201: CLIENTS * REQUESTS * PRODUCTS}
    expected = 1_000 + REQUESTS * sum(client - 5 for client in range(CLIENTS))
    version = 1 + CLIENTS * REQUESTS
    assert set(levels(database).values()) == {(expected, version, expected)}


def test_each_sku_is_taken_once_by_requests_that_create_and_rename_in_any_order(served, database):
    names = [f"n{number}" for number in range(40)]
    old = send(served, [create(number, stock_level=1) for number in range(CLIENTS * 10)])
    ids = [result["product"]["id"] for result in old]

    def work(client):
        dice, taken = random.Random(client), []
        mine = ids[client * 10 : client * 10 + 10]
        operations = [create(0, sku=name, stock_level=1) for name in names]
        dice.shuffle(operations)
        renamed = dice.sample(names, len(mine))
        operations += [
            {"op": "update", "id": product_id, "sku": name}
            for product_id, name in zip(mine, renamed, strict=True)
        ]
        dice.shuffle(operations)
        for operation, result in zip(operations, send(served, operations), strict=True):
            assert result["status"] in {200, 201, 409}, result
            if result["status"] != 409:
                taken.append(operation["sku"])
        return taken

    taken = [sku for skus in simultaneously(work) for sku in skus]
    assert sorted(taken) == sorted(names)
    assert names == sorted((sku for sku in levels(database) if sku in names), key=names.index)


def test_chunks_before_a_failure_of_the_database_stay_and_the_others_are_503(
    postgres_database, make_app, monkeypatch
):
    client = make_app(postgres_database).test_client()
    monkeypatch.setattr(bulk, "CHUNK", 2)
    kill_the_connection_at_write(monkeypatch, postgres_database, number=2)
    operations = [create(number, stock_level=1) for number in range(6)]
    response = client.post("/products/bulk", json={"operations": operations})
    assert response.status_code == 200
    assert [r["status"] for r in response.json["results"]] == [201, 201, 503, 503, 503, 503]
    assert levels(postgres_database).keys() == {"s0", "s1"}
    again = client.post("/products/bulk", json={"operations": operations}).json["results"]
    assert [r["status"] for r in again] == [409, 409, 201, 201, 201, 201]


@pytest.mark.parametrize("options", [{"headers": {"Idempotency-Key": "k"}}, {}])
def test_a_request_that_fails_as_a_whole_is_a_503_and_can_be_sent_again(
    postgres_database, make_app, monkeypatch, options
):
    client = make_app(postgres_database).test_client()
    kill_the_connection_at_write(monkeypatch, postgres_database, number=1)
    body = {"operations": [create(number, stock_level=1) for number in range(6)]}
    response = client.post("/products/bulk", json=body, **options)
    assert (response.status_code, levels(postgres_database)) == (503, {})
    response = client.post("/products/bulk", json=body, **options)
    assert [r["status"] for r in response.json["results"]] == [201] * 6


def test_without_the_lock_of_sqlite_the_other_chunks_are_503(
    sqlite_database, make_app, monkeypatch
):
    monkeypatch.setattr(engine, "SQLITE_BUSY_TIMEOUT", 0.05)
    client = make_app(sqlite_database).test_client()
    monkeypatch.setattr(bulk, "CHUNK", 2)
    commit = bulk.commit
    other = create_engine(database_url(sqlite_database), poolclass=NullPool).connect()

    def commit_and_lock(**tags):
        commit(**tags)
        other.exec_driver_sql("BEGIN IMMEDIATE")

    monkeypatch.setattr(bulk, "commit", commit_and_lock)
    operations = [create(number, stock_level=1) for number in range(6)]
    response = client.post("/products/bulk", json={"operations": operations})
    assert [r["status"] for r in response.json["results"]] == [201, 201, 503, 503, 503, 503]
    other.close()
    assert levels(sqlite_database).keys() == {"s0", "s1"}


def kill_the_connection_at_write(monkeypatch, url, number):
    """Let the server end the connection before the batch of this number is written."""
    original, writes = bulk.Batch.write, []
    other = create_engine(database_url(url), poolclass=NullPool)

    def write(batch):
        writes.append(batch)
        if len(writes) == number:
            pid = db.session.scalar(text("SELECT pg_backend_pid()"))
            with other.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        return original(batch)

    monkeypatch.setattr(bulk.Batch, "write", write)
