"""Holds with simultaneous clients: gunicorn with two worker processes, on both databases."""

import json
import random
import threading
import time
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from app.config import database_url
from tests.inventory.test_concurrency import get, ledger, simultaneously, statuses
from tests.waiting import PATIENCE

STATE = """
    SELECT p.stock_level, p.version,
        (SELECT coalesce(sum(delta), 0) FROM stock_adjustment WHERE product_id = p.id) AS entered,
        (SELECT coalesce(sum(quantity), 0) FROM hold
            WHERE product_id = p.id AND state = 'held' AND expires_at > {now}) AS held
    FROM product p"""
CLOCKS = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "postgresql": "clock_timestamp()",
}


@pytest.fixture
def served(serve, database):
    """The service with two workers."""
    return serve(DATABASE_URL=database, WEB_CONCURRENCY="2")


@pytest.fixture
def product(served):
    """A factory of products; returns the path."""

    def make(stock_level: int) -> str:
        body = {"sku": "l1", "name": "Lamp", "price": "19.99", "stock_level": stock_level}
        status, headers, answer = post(served, "/products", body)
        assert status == 201, answer
        return str(headers["Location"])

    return make


def post(served, path: str, body: Any = None) -> Any:
    return served.insist("POST", path, b"" if body is None else json.dumps(body).encode())


def hold(served, path: str, quantity: int = 1, expires_in: int = 900) -> Any:
    return post(served, f"{path}/holds", {"quantity": quantity, "expires_in": expires_in})


def test_ten_of_a_hundred_simultaneous_clients_hold_one_of_ten_units(served, product):
    path = product(stock_level=10)
    responses = simultaneously(lambda _: hold(served, path), 100)
    assert statuses(responses) == {201: 10, 409: 90}
    _, shown = get(served, path)
    assert (shown["stock_level"], shown["available"]) == (10, 0)
    made = [json.loads(body) for status, _, body in responses if status == 201]
    assert len({each["id"] for each in made}) == 10


def test_holds_and_adjustments_at_once_never_take_more_than_there_is(served, product):
    path = product(stock_level=10)

    def take(number: int) -> Any:
        if number % 2:
            return hold(served, path)
        return post(served, f"{path}/stock-adjustments", {"delta": -1})

    responses = simultaneously(take, 60)
    assert statuses(responses) == {201: 10, 409: 50}
    _, shown = get(served, path)
    sold = sum(entry["delta"] == -1 for entry in ledger(served, path))
    assert (shown["stock_level"], shown["available"]) == (10 - sold, 0)


def test_one_of_simultaneous_commits_and_releases_of_a_hold_decides(served, product):
    path = product(stock_level=40)
    for _ in range(8):
        made = json.loads(hold(served, path)[2])
        before = get(served, path)[1]["stock_level"]

        def end(number: int, hold_path: str = f"/holds/{made['id']}") -> Any:
            if number % 2:
                return post(served, f"{hold_path}/commit")
            return served.insist("DELETE", hold_path)

        responses = simultaneously(end, 12)
        state = get(served, f"/holds/{made['id']}")[1]["state"]
        expected = {"committed": {200: 6, 409: 6}, "released": {204: 6, 409: 6}}
        assert statuses(responses) == expected[state]
        sold = state == "committed"
        _, shown = get(served, path)
        assert shown["stock_level"] == shown["available"] == before - sold


def race(served, path: str, seconds_late: float) -> tuple[int, list[int]]:
    """Commit a hold at the instant of its end, more or less, while others want its unit.

    Return the status of the commit and the ids of the holds of the others.
    """
    made = json.loads(hold(served, path, expires_in=1)[2])
    at = datetime.fromisoformat(made["expires_at"]).timestamp() + seconds_late
    committed, taken = threading.Event(), []

    def take_part(number: int) -> int:
        if number == 0:
            time.sleep(max(0, at - time.time()))
            status, _, _ = post(served, f"/holds/{made['id']}/commit")
            if status == 200:
                committed.set()
            return int(status)
        while not committed.is_set() and not taken:
            status, _, body = hold(served, path)
            if status == 201:
                taken.append(json.loads(body)["id"])
        return 0

    return simultaneously(take_part, 4)[0], taken


def test_a_hold_that_expires_is_either_sold_or_available_and_never_both(served, product):
    path = product(stock_level=1)
    for milliseconds in (5, 0, -5, -10, -40):
        status, taken = race(served, path, milliseconds / 1000)
        if status == 200:
            assert taken == []
            assert get(served, path)[1]["stock_level"] == 0
            return
        assert (status, len(taken)) == (409, 1)
        assert served.insist("DELETE", f"/holds/{taken[0]}")[0] == 204


class Shopper:
    """Holds, commits, releases, lets expire, adjusts and sets the stock, at random."""

    def __init__(self, served: Any, path: str, seed: int) -> None:
        self._served, self._path = served, path
        self._random = random.Random(seed)
        self._holds: list[int] = [0]  # nobody has this one

    def act(self) -> int:
        """Send one request; return its status."""
        chance = self._random
        kind = chance.choice(["hold", "hold", "commit", "release", "adjust", "set", "get"])
        response: Any = getattr(self, kind)()
        return int(response[0])

    def hold(self) -> Any:
        quantity, expires_in = self._random.randint(1, 5), self._random.choice([1, 60])
        response = hold(self._served, self._path, quantity, expires_in)
        if response[0] == 201:
            self._holds.append(json.loads(response[2])["id"])
        return response

    def commit(self) -> Any:
        return post(self._served, f"/holds/{self._random.choice(self._holds)}/commit")

    def release(self) -> Any:
        return self._served.insist("DELETE", f"/holds/{self._random.choice(self._holds)}")

    def adjust(self) -> Any:
        body = {"delta": self._random.choice([-4, -2, 3, 5])}
        return post(self._served, f"{self._path}/stock-adjustments", body)

    def set(self) -> Any:
        body = json.dumps({"stock_level": self._random.randint(0, 30)}).encode()
        return self._served.insist("PATCH", self._path, body)

    def get(self) -> Any:
        response = self._served.request("GET", self._path)
        shown = json.loads(response[2])
        assert 0 <= shown["available"] <= shown["stock_level"]
        return response


def test_level_holds_and_ledger_agree_at_every_look(served, product, database):
    path = product(stock_level=30)
    engine = create_engine(database_url(database))
    look = text(STATE.format(now=CLOCKS[engine.dialect.name]))
    stop, looks = threading.Event(), []

    def check() -> None:
        while not stop.is_set():
            with engine.connect() as connection:
                looks.append(connection.execute(look).one())

    def shop(number: int) -> list[int]:
        shopper = Shopper(served, path, number)
        seen = [shopper.act() for _ in range(30)]
        # On a busy machine the checker may have looked at few states until now.
        while len({row.version for row in looks}) <= 10 and checker.is_alive():
            seen.append(shopper.act())
        return seen

    checker = threading.Thread(target=check)
    checker.start()
    try:
        seen = {status for each in simultaneously(shop, 6) for status in each}
    finally:
        stop.set()
        checker.join(PATIENCE)
        engine.dispose()
    assert {200, 201, 409} <= seen <= {200, 201, 204, 404, 409}
    assert len({row.version for row in looks}) > 10
    for row in looks:
        assert row.stock_level == row.entered
        assert 0 <= row.held <= row.stock_level
