"""Holds, one request at a time, on both databases."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.extensions import db
from tests.inventory.stock import ledger
from tests.waiting import wait_until

LONG = 900


@pytest.fixture
def hold(client):
    """A factory of holds; returns the hold."""

    def make(product_id: int, quantity: int, **fields: Any) -> Any:
        body = {"quantity": quantity, "expires_in": LONG, **fields}
        response = client.post(f"/products/{product_id}/holds", json=body)
        assert response.status_code == 201, response.json
        return response.json

    return make


@pytest.fixture
def expire(app):
    """Let a hold expire, without a wait: its time is moved into the past."""

    def move(held: Any) -> None:
        with app.app_context():
            statement = text("UPDATE hold SET expires_at = created_at WHERE id = :id")
            db.session.execute(statement, {"id": held["id"]})
            db.session.commit()

    return move


def shown(client, product_id):
    """Return level, available units and ETag of a product."""
    response = client.get(f"/products/{product_id}")
    product = response.json
    assert client.get("/products").json["items"][product_id - 1] == product
    return product["stock_level"], product["available"], response.headers["ETag"]


def test_a_hold_takes_units_from_what_is_available_but_not_from_the_stock(client, product, hold):
    lamp = product(stock_level=10)
    made = client.post(
        f"/products/{lamp}/holds", json={"quantity": 2, "expires_in": LONG, "reason": "cart 7"}
    )
    held = made.json
    assert made.status_code == 201
    assert (held["product_id"], held["quantity"]) == (lamp, 2)
    assert (held["state"], held["reason"]) == ("held", "cart 7")
    times = [datetime.fromisoformat(held[name]) for name in ("created_at", "expires_at")]
    assert times[1] - times[0] == timedelta(seconds=LONG)
    assert shown(client, lamp) == (10, 8, '"1-8"')
    hold(lamp, 8)
    assert shown(client, lamp) == (10, 0, '"1-0"')
    assert client.get(made.headers["Location"]).json == held
    assert ledger(client, lamp) == [(10, 10, "first stock")]


def test_no_more_units_are_held_than_are_available(client, product, hold):
    lamp = product(stock_level=10)
    hold(lamp, 7)
    refused = client.post(f"/products/{lamp}/holds", json={"quantity": 4, "expires_in": LONG})
    assert refused.status_code == 409
    assert "3 units available" in refused.json["detail"]
    assert shown(client, lamp) == (10, 3, '"1-3"')


def test_a_committed_hold_leaves_the_stock_and_is_in_the_ledger(client, product, hold):
    lamp = product(stock_level=10)
    held = hold(lamp, 2, reason="cart 7")
    hold(lamp, 8)
    for _ in range(2):
        committed = client.post(f"/holds/{held['id']}/commit")
        assert (committed.status_code, committed.json) == (200, {**held, "state": "committed"})
    assert shown(client, lamp) == (8, 0, '"2-0"')
    assert ledger(client, lamp) == [(-2, 8, "cart 7"), (10, 10, "first stock")]
    assert client.get(f"/holds/{held['id']}").json == committed.json
    assert client.delete(f"/holds/{held['id']}").status_code == 409


def test_a_released_hold_is_available_again(client, product, hold):
    lamp = product(stock_level=10)
    held = hold(lamp, 10)
    for _ in range(2):
        released = client.delete(f"/holds/{held['id']}")
        assert (released.status_code, released.data) == (204, b"")
        assert "Content-Type" not in released.headers
    assert shown(client, lamp) == (10, 10, '"1"')
    assert client.get(f"/holds/{held['id']}").json == {**held, "state": "released"}
    refused = client.post(f"/holds/{held['id']}/commit")
    assert refused.status_code == 409
    assert "was released" in refused.json["detail"]
    assert ledger(client, lamp) == [(10, 10, "first stock")]


def test_an_expired_hold_counts_no_more_though_its_row_stays(client, product, hold, expire):
    lamp = product(stock_level=10)
    held = hold(lamp, 9)
    expire(held)
    assert shown(client, lamp) == (10, 10, '"1"')
    assert client.get(f"/holds/{held['id']}").json["state"] == "expired"
    refused = client.post(f"/holds/{held['id']}/commit")
    assert refused.status_code == 409
    assert "has expired" in refused.json["detail"]
    assert client.delete(f"/holds/{held['id']}").status_code == 204
    assert client.get(f"/holds/{held['id']}").json["state"] == "expired"
    hold(lamp, 10)


def test_a_hold_of_which_the_ledger_knows_no_reason_is_named_there(client, product, hold):
    lamp = product(stock_level=10)
    client.post(f"/holds/{hold(lamp, 1)['id']}/commit")
    assert ledger(client, lamp)[0] == (-1, 9, "hold 1")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"stock_level": 6}, 409), ({"stock_level": 7}, 200), ({"price": 1}, 200)],
)
def test_a_change_of_the_level_leaves_what_is_held(client, product, hold, change, status):
    lamp = product(stock_level=10)
    hold(lamp, 7)
    assert client.patch(f"/products/{lamp}", json=change).status_code == status


@pytest.mark.parametrize(("delta", "status"), [(-4, 409), (-3, 201), (5, 201)])
def test_an_adjustment_leaves_what_is_held(client, product, hold, delta, status):
    lamp = product(stock_level=10)
    hold(lamp, 7)
    response = client.post(f"/products/{lamp}/stock-adjustments", json={"delta": delta})
    assert response.status_code == status
    level = 10 + (delta if status == 201 else 0)
    assert shown(client, lamp)[:2] == (level, level - 7)


def test_if_match_compares_what_is_available_too(client, product, hold):
    lamp = product(stock_level=10)
    headers = {"If-Match": client.get(f"/products/{lamp}").headers["ETag"]}
    held = hold(lamp, 2)
    lost = client.patch(f"/products/{lamp}", json={"price": 1}, headers=headers)
    assert lost.status_code == 412
    changed = client.patch(f"/products/{lamp}", json={"price": 1}, headers={"If-Match": '"1-8"'})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2-8"')
    assert (changed.json["stock_level"], changed.json["available"]) == (10, 8)
    client.delete(f"/holds/{held['id']}")
    assert client.get(f"/products/{lamp}").headers["ETag"] == '"2"'


@pytest.mark.parametrize(
    "body",
    [
        {"quantity": 0, "expires_in": 1},
        {"quantity": 2**31, "expires_in": 1},
        {"quantity": 1, "expires_in": 0},
        {"quantity": 1, "expires_in": 7 * 24 * 3600 + 1},
        {"quantity": 1, "expires_in": 1.5},
        {"quantity": 1},
        {"expires_in": 1},
        {"quantity": 1, "expires_in": 1, "reason": ""},
    ],
)
def test_an_invalid_hold_is_rejected(client, product, body):
    lamp = product(stock_level=10)
    assert client.post(f"/products/{lamp}/holds", json=body).status_code == 422
    assert shown(client, lamp) == (10, 10, '"1"')


def test_an_unknown_hold_or_product_is_not_found(client):
    body = {"quantity": 1, "expires_in": 1}
    assert client.post("/products/1/holds", json=body).status_code == 404
    assert client.get("/holds/1").status_code == 404
    assert client.post("/holds/1/commit").status_code == 404
    assert client.delete("/holds/1").status_code == 404


def test_a_repeated_idempotency_key_holds_and_commits_once(client, product):
    lamp = product(stock_level=10)
    body = {"quantity": 2, "expires_in": LONG}
    made = [
        client.post(f"/products/{lamp}/holds", json=body, headers={"Idempotency-Key": "a"}).json
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert shown(client, lamp) == (10, 8, '"1-8"')
    path = f"/holds/{made[0]['id']}/commit"
    committed = [client.post(path, headers={"Idempotency-Key": key}) for key in "bbc"]
    assert [response.status_code for response in committed] == [200] * 3
    assert committed[0].json == committed[1].json == committed[2].json
    assert shown(client, lamp) == (8, 8, '"2"')


def test_only_responses_with_a_live_hold_forbid_proxies_to_keep_them(client, product, hold):
    lamp = product(stock_level=10)
    paths = [f"/products/{lamp}", "/products", "/products?sort=-price", "/products/search?name=la"]
    assert not any("Cache-Control" in client.get(path).headers for path in paths)
    held = hold(lamp, 2, expires_in=10)
    holding = [*paths, f"/holds/{held['id']}"]
    limits = {client.get(path).headers["Cache-Control"] for path in holding}
    assert limits == {"max-age=0, must-revalidate"}
    etag = client.get(paths[0]).headers["ETag"]
    unchanged = client.get(paths[0], headers={"If-None-Match": etag})
    assert unchanged.status_code == 304
    assert unchanged.headers["Cache-Control"] == "max-age=0, must-revalidate"
    wait_until(lambda: client.get(holding[-1]).json["state"] == "expired")
    assert not any("Cache-Control" in client.get(path).headers for path in holding)
