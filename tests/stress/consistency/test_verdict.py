"""The judge of the torture, on answers made by hand."""

from types import SimpleNamespace

import orjson
import pytest

from stress.caller import Reply
from stress.consistency.expected import Truth
from stress.consistency.records import Read, Records, Write
from stress.consistency.verdict import judge
from stress.faults import Fault


def reply(began: float, ended: float, status: int = 200, version: int = 2, **body: object) -> Reply:
    return Reply(began, ended, status, "hit", f'"{version}"', orjson.dumps(body))


def adjusted(ended: float, status: int = 201) -> Write:
    told = {"stock_level": 4, "updated_at": "then"}
    body = {"delta": 4, "reason": "mine"}
    return Write("adjust", 7, "mine", reply(ended - 0.1, ended, status, **told), body)


def seen(began: float, version: int) -> Read:
    return Read(reply(began, began + 0.01), "product", {("product", 7): version})


def row(**values):
    return SimpleNamespace(_mapping=values, **values)


def truth(*ledger, stock_level: int = 4, version: int = 2) -> Truth:
    product = row(id=7, version=version, price=0, stock_level=stock_level)
    return Truth({7: product}, {}, {7: list(ledger)}, {}, undelivered=0)


MOVE = row(id=1, product_id=7, delta=4, stock_level=4, reason="mine")


HELD = truth(MOVE)


def verdict(*reads, writes=(), faults=(), truth=HELD, broken=()):
    return judge(Records(list(reads), list(writes), list(broken)), faults, truth)


def test_a_read_that_misses_an_acknowledged_write_fails():
    found = verdict(seen(3.0, 1), writes=[adjusted(2.0)])
    assert [stale.seconds for stale in found.beyond] == [pytest.approx(1.0)]
    assert not found.passed


def test_a_read_that_began_before_the_acknowledgement_may_miss_it():
    assert verdict(seen(1.9, 1), writes=[adjusted(2.0)]).passed


def test_the_bound_holds_in_a_partial_outage_alone():
    for kind, passed in (("frozen", True), ("killed", False)):
        faults = [Fault(kind, 1.0, 2.2)]
        assert verdict(seen(2.3, 1), writes=[adjusted(2.0)], faults=faults).passed is passed
    assert not verdict(seen(2.7, 1), writes=[adjusted(2.0)], faults=[Fault("frozen", 1, 3)]).passed


def test_an_acknowledged_write_that_is_not_there_is_lost():
    found = verdict(writes=[adjusted(2.0)], truth=truth(stock_level=0))
    assert len(found.lost) == 1
    assert not found.passed


def test_a_refused_write_that_is_there_is_discord():
    assert not verdict(writes=[adjusted(2.0, status=409)], truth=truth(MOVE)).passed


def test_a_ledger_that_does_not_add_up_to_the_level_is_discord():
    found = verdict(writes=[adjusted(2.0)], truth=truth(MOVE, stock_level=5))
    assert any("its ledger 4" in line for line in found.discord)


def test_a_connection_may_break_only_where_a_worker_ends():
    assert not verdict(broken=[9.0], truth=truth(version=1, stock_level=0)).passed
    ended = [Fault("worker killed", 8.9, 8.9)]
    assert verdict(broken=[9.0], truth=truth(version=1, stock_level=0), faults=ended).passed


def test_a_5xx_fails():
    assert not verdict(Read(reply(1.0, 1.1, 503), "product", {}), writes=[adjusted(2.0)]).passed
