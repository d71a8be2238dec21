"""Stock with simultaneous writers: gunicorn with two worker processes, on both databases."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.waiting import PATIENCE

Send = Callable[[int], Any]


@pytest.fixture
def served(serve, database):
    """The service with two workers."""
    return serve(DATABASE_URL=database, WEB_CONCURRENCY="2")


@pytest.fixture
def product(served):
    """A factory of products; returns the path."""

    def make(stock_level: int) -> str:
        words = {"sku": "l1", "name": "Lamp", "price": "19.99", "stock_level": stock_level}
        status, headers, body = served.request("POST", "/products", json.dumps(words).encode())
        assert status == 201, body
        return str(headers["Location"])

    return make


def simultaneously(send: Send, count: int) -> list[Any]:
    """Send ``count`` requests, each in its own thread, after all threads have started."""
    ready = threading.Barrier(count)

    def run(number: int) -> Any:
        ready.wait(PATIENCE)
        return send(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def statuses(responses: Iterable[Any]) -> Counter[int]:
    return Counter(status for status, _, _ in responses)


def get(served, path):
    status, headers, body = served.request("GET", path)
    assert status == 200
    return headers, json.loads(body)


def ledger(served, path):
    return get(served, f"{path}/stock-adjustments?limit=100")[1]["items"]


def test_exactly_one_of_fifty_simultaneous_changes_of_a_version_succeeds(served, product):
    path = product(stock_level=5)
    headers, before = get(served, path)

    def change(number: int) -> Any:
        body = json.dumps({"stock_level": 100 + number}).encode()
        return served.insist("PATCH", path, body, If_Match=headers["ETag"])

    responses = simultaneously(change, 50)
    assert statuses(responses) == {200: 1, 412: 49}
    winner = next(json.loads(body) for status, _, body in responses if status == 200)
    after_headers, after = get(served, path)
    assert after == winner
    assert (headers["ETag"], after_headers["ETag"]) == ('"1"', '"2"')
    assert before["stock_level"] == 5
    deltas = [entry["delta"] for entry in ledger(served, path)]
    assert deltas == [winner["stock_level"] - 5, 5]


def test_ten_of_a_hundred_simultaneous_requests_get_one_of_ten_units(served, product):
    path = product(stock_level=10)
    body = json.dumps({"delta": -1, "reason": "order"}).encode()
    responses = simultaneously(
        lambda _: served.insist("POST", f"{path}/stock-adjustments", body), 100
    )
    assert statuses(responses) == {201: 10, 409: 90}
    left = [json.loads(body)["stock_level"] for status, _, body in responses if status == 201]
    assert sorted(left) == list(range(10))
    assert get(served, path)[1]["stock_level"] == 0
    entries = ledger(served, path)
    assert [entry["delta"] for entry in entries] == [-1] * 10 + [10]
    assert [entry["stock_level"] for entry in entries] == list(range(11))
    assert sum(entry["delta"] for entry in entries) == 0


def test_simultaneous_changes_and_adjustments_leave_a_complete_ledger(served, product):
    path = product(stock_level=50)

    def write(number: int) -> Any:
        if number % 2:
            return served.insist("PATCH", path, json.dumps({"stock_level": number}).encode())
        body = json.dumps({"delta": -3}).encode()
        return served.insist("POST", f"{path}/stock-adjustments", body)

    assert {*statuses(simultaneously(write, 40))} <= {200, 201, 409}
    entries = ledger(served, path)[::-1]
    level = 0
    for entry in entries:
        level += entry["delta"]
        assert entry["stock_level"] == level >= 0
    assert get(served, path)[1]["stock_level"] == level
