"""The comparison of the log with changes of rows, both made by hand."""

import pytest

from stress.consistency.history import Change
from stress.subscriptions.log_check import differences, disagreements

PRODUCT = {
    "id": 5,
    "sku": "A",
    "name": "Lamp",
    "price": "9.00",
    "archived": False,
    "stock_level": 7,
}
REVIEW = {"id": 9, "book_id": 7, "rating": 5, "text": "Good.", "reviewer": "Ana", "hidden": False}
SOLD, CHEAPER = {"stock_level": 4}, {"price": "8.00"}


def product(transaction, **values):
    return Change(0.0, transaction, "product", 5, PRODUCT | values)


def ledger(transaction, delta, reason="sale"):
    values = {"id": transaction, "product_id": 5, "delta": delta, "reason": reason}
    return Change(0.0, transaction, "stock_adjustment", transaction, values)


def review(transaction, **values):
    return Change(0.0, transaction, "review", 9, REVIEW | values)


def event(kind, data):
    return {"cursor": "log-1", "type": kind, "at": "now", "data": data}


CHANGES = [
    product(1),
    ledger(1, 7, "first stock"),
    product(2, **SOLD),
    ledger(2, -3),
    product(3, **SOLD, **CHEAPER),
    product(4, **SOLD, **CHEAPER, archived=True),
    review(5),
    review(6, hidden=True),
    review(7, hidden=True, text="Bad."),
    review(8, text="Bad."),
    Change(0.0, 9, "review", 9, {}),
]
LOG = [
    event("product.created", PRODUCT),
    event("stock.changed", {**PRODUCT, **SOLD, "delta": -3, "reason": "sale"}),
    event("product.changed", {**PRODUCT, **SOLD, **CHEAPER}),
    event("product.archived", {**PRODUCT, **SOLD, **CHEAPER, "archived": True}),
    event("review.created", REVIEW),
    event("review.hidden", {"id": 9, "book_id": 7}),
    event("review.shown", {**REVIEW, "text": "Bad."}),
    event("review.deleted", {"id": 9, "book_id": 7}),
]


def test_a_log_that_tells_each_change_once_agrees():
    assert not list(disagreements(LOG, CHANGES))


@pytest.mark.parametrize("number", range(len(LOG)))
def test_a_lost_and_a_repeated_event_are_found(number):
    assert list(disagreements(LOG[:number] + LOG[number + 1 :], CHANGES))
    assert list(disagreements([*LOG[: number + 1], *LOG[number:]], CHANGES))


@pytest.mark.parametrize("number", [0, 1, 2, 4, 5, 6])
def test_events_of_one_thing_in_the_wrong_order_are_found(number):
    one, other = LOG[number : number + 2]
    assert list(disagreements([*LOG[:number], other, one, *LOG[number + 2 :]], CHANGES))


@pytest.mark.parametrize(
    ("number", "values"),
    [(1, {"delta": -2}), (1, {"stock_level": 5}), (2, {"price": "7.00"}), (6, {"text": "Good."})],
)
def test_an_event_that_shows_something_else_is_found(number, values):
    wrong = event(LOG[number]["type"], LOG[number]["data"] | values)
    assert list(disagreements([*LOG[:number], wrong, *LOG[number + 1 :]], CHANGES))


@pytest.mark.parametrize(
    ("log", "shown", "differs"),
    [
        (LOG[:3], {**PRODUCT, **SOLD, **CHEAPER, "available": 2}, False),
        (LOG[:2], {**PRODUCT, **SOLD, "available": 2}, False),
        (LOG[:2], PRODUCT, True),
        (LOG[:1], {**PRODUCT, "version": 1}, True),
        (LOG[4:6], None, False),
        (LOG[4:6], REVIEW, True),
        (LOG[4:5], None, True),
    ],
)
def test_a_thing_whose_route_shows_something_else_is_found(log, shown, differs):
    assert bool(list(differences(log, lambda *_: shown))) is differs
