"""The checker, with responses and changes of rows made by hand."""

import time
from datetime import UTC, datetime
from math import inf

import orjson
import pytest

from stress.consistency.availability import shows_etag, shows_product
from stress.consistency.checker import Tolerated, check
from stress.consistency.history import Change, clock_offset, show_time
from stress.consistency.lists import ListQuery, read_page
from stress.consistency.records import Effect, Read, Records, Write
from stress.consistency.timelines import Fact, is_absent, shows, where
from stress.faults import Fault
from stress.http_client import Response

NO_STARS = {str(rating): 0 for rating in range(1, 6)}


def response(began: float, ended: float | None = None, status: int = 200, body: object = None):
    until = began + 0.1 if ended is None else ended
    return Response(began, until, status, "hit", '"2"', orjson.dumps(body))


def change(at: float, table: str, row: int, transaction: int = 0, **values: object) -> Change:
    return Change(at, transaction or int(100 * at), table, row, values and {"id": row, **values})


def product(at: float, version: int = 1, level: int = 0, transaction: int = 0) -> Change:
    return change(at, "product", 7, transaction, version=version, stock_level=level)


def adjusted(at: float, version: int, delta: int, level: int) -> list[Change]:
    """Return the changes of a transaction that adjusts the stock of product 7."""
    row = {"product_id": 7, "delta": delta, "reason": f"reason {version}"}
    ledger = change(at, "stock_adjustment", version, int(100 * at), **row)
    return [product(at, version, level), ledger]


def adjustment(ended: float, version: int, status: int = 201, began: float | None = None) -> Write:
    effect = Effect("stock_adjustment", {"reason": f"reason {version}"})
    return Write("adjustment", response(began or ended - 0.1, ended, status), [effect])


def held(at: float, units: int, expires: float, state: str = "held", hold: int = 1) -> Change:
    moment = datetime.fromtimestamp(expires + clock_offset(), UTC)
    expires_at = show_time(moment)
    row = {"product_id": 7, "quantity": units, "state": state, "expires_at": expires_at}
    return change(at, "hold", hold, **row)


def read(began: float, condition, row: int = 7, table: str = "product", **options) -> Read:
    return Read(response(began, **options), table, [Fact(table, row, condition)])


CREATED = product(0.5)
TO_FOUR = [CREATED, *adjusted(1.9, 2, 4, 4)]


def check_all(*records: Read | Write, changes=(), faults=(), broken=(), **options):
    reads = [one for one in records if isinstance(one, Read)]
    writes = [one for one in records if isinstance(one, Write)]
    created = Write("product", response(0.4, 0.6), [Effect("product", {"version": 1}, 7)])
    return check(Records(reads, [created, *writes], list(broken)), faults, changes, **options)


def seconds_late(*records: Read | Write, changes) -> list[float]:
    return [stale.seconds for stale in check_all(*records, changes=changes).stale]


def test_a_read_that_misses_an_acknowledged_write_fails():
    result = check_all(read(3.0, shows({"version": 1})), adjustment(2.0, 2), changes=TO_FOUR)
    assert [stale.seconds for stale in result.forbidden] == [pytest.approx(1.0)]
    assert not result.passed


def test_a_read_that_began_before_the_acknowledgement_may_show_either_state():
    for version in (1, 2):
        one = read(1.95, shows({"version": version}))
        assert check_all(one, adjustment(2.0, 2), changes=TO_FOUR).passed


def test_a_state_that_never_was_fails_and_one_that_comes_later_too():
    assert seconds_late(read(3.0, shows({"version": 9})), changes=TO_FOUR) == [inf]
    assert seconds_late(read(1.0, shows({"version": 2})), changes=TO_FOUR) == [inf]


def test_a_write_that_nobody_acknowledged_itself_is_acknowledged_by_one_that_came_later():
    changes = [*TO_FOUR, *adjusted(2.5, 3, 1, 5)]
    lost = Write("adjustment", None, [Effect("stock_adjustment", {"reason": "reason 2"})])
    late = seconds_late(read(4.0, shows({"version": 1})), lost, adjustment(3.0, 3), changes=changes)
    assert late == [pytest.approx(1.0)]


def test_a_read_may_be_late_only_in_a_partial_outage_and_within_the_lease():
    def passes(fault: Fault, began: float) -> bool:
        one = read(began, shows({"version": 1}))
        return check_all(one, adjustment(2.0, 2), changes=TO_FOUR, faults=[fault]).passed

    assert passes(Fault("Redis frozen", 1.0, 2.2), 2.3)
    assert not passes(Fault("Redis killed", 1.0, 2.2), 2.3)
    assert not passes(Fault("Redis frozen", 1.0, 3.0), 2.7)


def test_a_deleted_row_may_not_be_shown_and_one_that_exists_may_not_be_missing():
    changes = [book(0.5, 3), change(1.7, "book", 3), *TO_FOUR]
    deleted = Write("book deleted", response(1.8, 2.0, 204), [Effect("book", {}, 3)])
    shown = read(3.0, shows({"id": 3}), 3, "book")
    records = (deleted, adjustment(2.0, 2))
    assert check_all(read(3.0, where(is_absent), 3, "book"), *records, changes=changes).passed
    assert not check_all(shown, *records, changes=changes).passed
    assert not check_all(read(3.0, where(is_absent)), *records, changes=changes).passed


def test_an_acknowledged_write_that_is_not_stored_is_lost():
    result = check_all(adjustment(2.0, 2), changes=[CREATED])
    assert len(result.lost) == 1
    assert not result.passed


def test_a_rejected_write_that_is_stored_is_inconsistent():
    result = check_all(adjustment(2.0, 2, status=409), changes=TO_FOUR)
    assert any("rejected, but stored" in line for line in result.inconsistent)


def test_a_change_that_nobody_asked_for_is_inconsistent():
    result = check_all(changes=TO_FOUR)
    assert [line for line in result.inconsistent if "that of no write" in line]
    unknown = Write("adjustment", None, [Effect("stock_adjustment", {"reason": "reason 2"})])
    assert check_all(unknown, changes=TO_FOUR).passed


def test_two_writes_that_made_one_change_are_inconsistent():
    result = check_all(adjustment(2.0, 2), adjustment(2.0, 2), changes=TO_FOUR)
    assert any("is the only one of" in line for line in result.inconsistent)


def test_a_ledger_that_does_not_sum_to_the_level_is_inconsistent():
    result = check_all(adjustment(2.0, 2), changes=[CREATED, *adjusted(1.9, 2, 4, 5)])
    assert any("its ledger sums to 4" in line for line in result.inconsistent)


def test_a_change_without_a_new_version_is_inconsistent():
    result = check_all(adjustment(2.0, 1), changes=[CREATED, *adjusted(1.9, 1, 4, 4)])
    assert any("without a new version" in line for line in result.inconsistent)


@pytest.mark.parametrize(("hidden", "is_right"), [(False, True), (True, False)])
def test_the_stars_of_a_book_count_its_visible_reviews(hidden, is_right):
    review = {"book_id": 3, "rating": 4, "hidden": hidden}
    counts = {"review_count": 1, "rating_sum": 4, "stars": {**NO_STARS, "4": 1}}
    changes = [change(1, "review", 1, **review), change(1, "book", 3, version=2, **counts)]
    wrong = [line for line in check_all(changes=changes).inconsistent if "book 3" in line]
    assert (wrong == []) is is_right


def test_more_units_held_than_there_are_is_inconsistent_until_a_hold_expires():
    now = time.monotonic()
    first, second = held(now, 3, now + 5), held(now + 1, 3, now + 9, hold=2)
    too_many = check_all(changes=[*TO_FOUR, first, second]).inconsistent
    assert any("6 units are held of 4" in line for line in too_many)
    after_expiry = check_all(changes=[*TO_FOUR, first, held(now + 6, 3, now + 9, hold=2)])
    assert not any("are held of" in line for line in after_expiry.inconsistent)


def test_a_hold_that_ended_stays_as_it_is():
    now = time.monotonic()
    ended = [held(now, 1, now + 5, state, hold=1) for state in ("held", "released", "committed")]
    result = check_all(changes=[*TO_FOUR, *ended])
    assert any("was released and became committed" in line for line in result.inconsistent)


def test_a_hold_counts_until_the_instant_at_which_it_expires():
    now = time.monotonic()
    changes = [*TO_FOUR, held(now, 3, now + 5)]
    hold = Write("hold", response(now, now + 0.1), [Effect("hold", {"state": "held"}, 1)])

    def late(began: float, available: int) -> list[float]:
        shown = shows_product({"id": 7, "stock_level": 4, "available": available})
        return seconds_late(read(began, shown), hold, changes=changes)

    for began, available in ((4.8, 1), (4.95, 1), (4.95, 4), (6, 4)):
        assert late(now + began, available) == []
    assert late(now + 4.5, 4) == [pytest.approx(4.4, abs=0.01)]  # as it was before the hold
    assert late(now + 4.5, 2) == [inf]
    assert late(now + 6, 1) == [pytest.approx(1.0, abs=0.1)]
    for etag, shown in (('"2-1"', now + 4.8), ('"2"', now + 6)):
        assert seconds_late(read(shown, shows_etag(etag)), hold, changes=changes) == []
        assert seconds_late(read(shown, shows_etag(etag, equal=False)), hold, changes=changes)


def test_a_hold_may_expire_between_the_rows_and_the_clock_of_a_query():
    now = time.monotonic()
    changes = [*TO_FOUR, held(now, 1, now + 5), held(now + 4.9, 2, now + 9, hold=2)]
    first = Write("hold", response(now, now + 0.1), [Effect("hold", {"quantity": 1}, 1)])
    second = Write("hold", response(now + 4.9, now + 4.95), [Effect("hold", {"quantity": 2}, 2)])
    shown = shows_product({"id": 7, "stock_level": 4, "available": 4})  # neither hold
    while_added = Read(response(now + 4.92, now + 5.1), "product", [Fact("product", 7, shown)])
    assert seconds_late(while_added, first, second, changes=changes) == []
    after = read(now + 5.2, shown)
    assert seconds_late(after, first, second, changes=changes) == [pytest.approx(0.25, abs=0.01)]


BY_NAME = ListQuery("book", lambda book: book["shown"], lambda book: (book["name"], book["id"]))


def page(began: float, *ids: int, after=None, cursor: str | None = None) -> Read:
    items = [{"id": number, "name": "same"} for number in ids]
    answer = response(began, body={"items": items, "next_cursor": cursor})
    shown = read_page(answer, BY_NAME, shows, after)
    return Read(answer, "books", shown.facts, shown.listing, shown.consistent)


def book(at: float, number: int, version: int = 1, *, shown: bool = True) -> Change:
    counts = {"review_count": 0, "rating_sum": 0, "stars": NO_STARS}
    return change(at, "book", number, name="same", shown=shown, version=version, **counts)


BOOKS = [book(1, number) for number in (1, 2, 3)]
ADDED = Write("books", response(1, 1.1), [Effect("book", {"version": 1}, 3)])


@pytest.mark.parametrize(
    ("one", "is_right"),
    [
        (page(2, 1, 2, 3), True),
        (page(2, 1, 3), False),  # a row between those that are shown is missing
        (page(2, 1, 2), False),  # the last row is missing
        (page(2, 1, 2, cursor="next"), True),
        (page(2, 3, after=("same", 2)), True),
        (page(2, after=("same", 2)), False),  # its key is equal but for the id
        (page(2, 2, 1, 3), False),
        (page(2, 2, 3, after=("same", 2)), False),
    ],
)
def test_a_page_shows_each_row_between_its_first_and_its_last_one(one, is_right):
    result = check_all(one, ADDED, changes=BOOKS)
    assert (not result.stale and not result.inconsistent_reads) is is_right


def test_a_row_that_left_the_list_may_not_be_shown_in_it():
    hidden = book(1.5, 2, version=2, shown=False)
    write = Write("hidden", response(1.5, 1.6), [Effect("book", {"version": 2}, 2)])
    for one, is_right in ((page(2, 1, 3), True), (page(2, 1, 2, 3), False)):
        assert (not check_all(one, ADDED, write, changes=[*BOOKS, hidden]).stale) is is_right


def test_rows_that_are_older_than_the_changes_are_not_checked():
    one = read(3.0, shows({"version": 9}))
    assert check_all(one, adjustment(2.0, 2), changes=TO_FOUR, is_older=lambda *_: True).passed


def test_a_connection_may_break_only_when_a_worker_ends():
    assert not check_all(changes=[CREATED], broken=[9.0]).passed
    ended = [Fault("worker killed", 8.9, 8.9)]
    assert check_all(changes=[CREATED], broken=[9.0], faults=ended).passed


def test_a_5xx_response_and_invalidations_in_the_outbox_fail():
    assert check_all(changes=[CREATED]).passed
    assert not check_all(Read(response(1.0, status=503), "product"), changes=[CREATED]).passed
    assert not check_all(changes=[CREATED], undelivered=1).passed


def test_a_5xx_response_needs_a_fault_that_explains_it():
    tolerated = Tolerated(broken=frozenset({"host killed"}), unavailable=frozenset({"no primary"}))
    for status, name in ((502, "host killed"), (504, "host killed"), (503, "no primary")):
        reads = [Read(response(9.0, status=status), "product")]
        for fault, passes in (
            (Fault(name, 8.5, 9.0), True),
            (Fault(name, 5.0, 7.5), False),
            (Fault("another", 8.5, 9.0), False),
        ):
            result = check_all(*reads, changes=[CREATED], faults=[fault], tolerated=tolerated)
            assert result.passed is passes
