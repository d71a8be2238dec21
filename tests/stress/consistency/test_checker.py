"""The checker, with records made by hand."""

from types import SimpleNamespace

import orjson
import pytest

from stress.consistency.checker import check
from stress.consistency.expected import ExpectedState
from stress.consistency.records import Read, Records, Write
from stress.faults import Fault
from stress.http_client import Response


def response(
    began: float, ended: float, status: int = 200, version: int = 2, **body: object
) -> Response:
    return Response(began, ended, status, "hit", f'"{version}"', orjson.dumps(body))


def write(ended: float, status: int = 201) -> Write:
    product = {"stock_level": 4, "updated_at": "then"}
    body = {"delta": 4, "reason": "mine"}
    return Write("adjust", 7, "mine", response(ended - 0.1, ended, status, **product), body)


def read(began: float, version: int) -> Read:
    return Read(response(began, began + 0.01), "product", {("product", 7): version})


def row(**values):
    return SimpleNamespace(_mapping=values, **values)


def state(*ledger, stock_level: int = 4, version: int = 2) -> ExpectedState:
    product = row(id=7, version=version, price=0, stock_level=stock_level)
    return ExpectedState({7: product}, {}, {7: list(ledger)}, {}, undelivered=0)


ADJUSTMENT = row(id=1, product_id=7, delta=4, stock_level=4, reason="mine")
STATE = state(ADJUSTMENT)


def check_all(*reads, writes=(), faults=(), expected=STATE, broken=()):
    return check(Records(list(reads), list(writes), list(broken)), faults, expected)


def test_a_read_that_misses_an_acknowledged_write_fails():
    result = check_all(read(3.0, 1), writes=[write(2.0)])
    assert [stale.seconds for stale in result.forbidden] == [pytest.approx(1.0)]
    assert not result.passed


def test_a_read_that_began_before_the_acknowledgement_may_miss_the_write():
    assert check_all(read(1.9, 1), writes=[write(2.0)]).passed


def test_a_read_may_be_late_only_in_a_partial_outage_and_within_the_lease():
    for name, passed in (("Redis frozen", True), ("Redis killed", False)):
        faults = [Fault(name, 1.0, 2.2)]
        assert check_all(read(2.3, 1), writes=[write(2.0)], faults=faults).passed is passed
    assert not check_all(
        read(2.7, 1), writes=[write(2.0)], faults=[Fault("Redis frozen", 1, 3)]
    ).passed


def test_an_acknowledged_write_that_is_not_stored_is_lost():
    result = check_all(writes=[write(2.0)], expected=state(stock_level=0))
    assert len(result.lost) == 1
    assert not result.passed


def test_a_rejected_write_that_is_stored_is_inconsistent():
    assert not check_all(writes=[write(2.0, status=409)], expected=state(ADJUSTMENT)).passed


def test_a_ledger_that_does_not_sum_to_the_level_is_inconsistent():
    result = check_all(writes=[write(2.0)], expected=state(ADJUSTMENT, stock_level=5))
    assert any("its ledger sums to 4" in line for line in result.inconsistent)


def test_a_connection_may_break_only_when_a_worker_ends():
    assert not check_all(broken=[9.0], expected=state(version=1, stock_level=0)).passed
    ended = [Fault("worker killed", 8.9, 8.9)]
    assert check_all(broken=[9.0], expected=state(version=1, stock_level=0), faults=ended).passed


def test_a_5xx_response_fails():
    assert not check_all(Read(response(1.0, 1.1, 503), "product", {}), writes=[write(2.0)]).passed
