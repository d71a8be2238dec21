"""Which days are compared with their source, by how many calls, and what a difference is."""

from datetime import date, timedelta

import pytest

from adsfetch import comparison
from adsfetch.comparison import compare
from adsfetch.sources import Batch, Source
from adsfetch.storage.states import State
from adsfetch.storage.store import Store

TODAY = date(2024, 3, 10)
NAMES = ("segments.date", "metrics.clicks", "metrics.conversions", "metrics.ctr")


class Clicks(Source):
    """A source with two rows a day; ``days`` has others."""

    metrics = NAMES[1:]

    def __init__(self, days=(), first=date(2024, 1, 1)):
        self.days, self.first, self.calls = dict(days), first, []

    def earliest(self, today):
        return self.first

    def rows_of(self, day):
        rows = self.days.get(day, [("5", "0.1", "0.5"), ("6", "0.2", "0.5")])
        return [(str(day), *row) for row in rows]

    def fetch_metrics(self, first, last):
        self.calls.append((first, last))
        rows = [
            row
            for number in range((last - first).days + 1)
            for row in self.rows_of(first + timedelta(number))
        ]
        for row in reversed(rows):  # in another order than the rows were stored
            yield Batch(NAMES, [[cell] for cell in row], {"metrics.clicks": "int64"})


@pytest.fixture
def store(tmp_path):
    """Ten days of a source, fetched long after them."""
    return stored(tmp_path, Clicks(), range(1, 11))


def stored(folder, source, days, *, today=TODAY):
    store = Store(folder).load().set_today(today)
    store.days_folder.mkdir(exist_ok=True)
    for number in days:
        day = date(2024, 1, number)
        rows = [dict(zip(NAMES, row, strict=True)) for row in source.rows_of(day)]
        store.commit(store.staging().write(day, rows))
    return store


def run(store, source):
    return compare(store, source, lambda call: call())


def days(differences):
    return [item.day.day for item in differences]


def test_the_order_of_the_rows_makes_no_difference(store):
    many = {date(2024, 1, 3): [(str(n), f"0.{n}", "") for n in range(1, 1500)]}
    stored(store.folder, Clicks(many), [3])
    source = Clicks(many)
    result = run(store.load().set_today(TODAY), source)
    assert (result.days, result.differs, result.calls) == (10, [], 1)
    assert (result.columns, result.others) == (NAMES[1:3], NAMES[3:])


def test_the_smallest_difference_of_a_double_is_found(store):
    row = ("5", "0.1", "0.5"), ("6", "0.20000000000000004", "0.5")
    result = run(store, Clicks({date(2024, 1, 4): row}))
    assert [item.sums for item in result.differs] == [
        {"metrics.conversions": ("0.3", "0.30000000000000004")}
    ]
    assert store.state(date(2024, 1, 4)) is State.MISSING


def test_what_cannot_be_summed_is_not_compared(store):
    assert run(store, Clicks({date(2024, 1, 4): [("11", "0.3", "9"), ("0", "", "")]})).differs == []


def test_many_rows_are_asked_for_in_parts(store, monkeypatch):
    monkeypatch.setattr(comparison, "ROWS_AT_ONCE", 7)
    source = Clicks({date(2024, 1, 6): []})
    result = run(store, source)
    assert [(first.day, last.day) for first, last in source.calls] == [
        (1, 3),
        (4, 6),
        (7, 9),
        (10, 10),
    ]
    assert (result.calls, result.days, days(result.differs)) == (4, 10, [6])


def test_days_that_the_source_no_longer_has_are_not_compared(store):
    source = Clicks({date(2024, 1, day): [] for day in range(1, 11)}, first=date(2024, 1, 8))
    store.record_unavailable(date(2024, 1, 9), "gone")
    assert days(run(store, source).differs) == [8, 10]
    assert store.state(date(2024, 1, 9)) is State.FINAL


def test_provisional_days_are_restated_and_today_is_not_compared(tmp_path):
    store = stored(tmp_path, Clicks(), range(1, 11), today=date(2024, 1, 10))
    source = Clicks({date(2024, 1, day): [] for day in (5, 10)})
    result = run(store, source)
    assert (days(result.restated), result.differs, result.days) == ([5], [], 9)
    assert store.state(date(2024, 1, 5)) is State.PROVISIONAL


def test_a_column_that_was_added_later_is_not_compared_where_it_is_blank(tmp_path):
    blank = {date(2024, 1, day): [("5", "", ""), ("6", "", "")] for day in range(1, 5)}
    store = stored(tmp_path, Clicks(blank), range(1, 7))
    assert run(store, Clicks()).differs == []
    source = Clicks(
        {
            date(2024, 1, 1): [("5", "0.1", ""), ("6", "0.2", ""), ("0", "0.3", "")],
            date(2024, 1, 2): [("5", "0.1", ""), ("7", "0.2", "")],
            date(2024, 1, 3): [("11", "0.1", "")],
            date(2024, 1, 4): [("5", "", ""), ("6", "", ""), ("0", "", "")],
            date(2024, 1, 5): [("5", "", ""), ("6", "", "")],
        }
    )
    differing = {item.day.day: [*item.sums] for item in run(store, source).differs}
    assert differing == {
        2: ["metrics.clicks"],
        3: ["rows"],
        4: ["rows"],
        5: ["metrics.conversions"],
    }


def test_days_between_the_held_ones_are_named_if_the_source_has_rows(tmp_path):
    store = stored(tmp_path, Clicks(), [1, 2, 5])
    source = Clicks({date(2024, 1, 4): []})
    assert run(store, source).not_held == [date(2024, 1, 3)]


def test_an_empty_dataset_needs_no_call(tmp_path):
    source = Clicks()
    assert run(stored(tmp_path, source, []), source).calls == 0


def test_a_day_that_differs_is_not_found_again_in_its_intact_file(store):
    run(store, Clicks({date(2024, 1, 4): []}))
    for thorough in (False, True):
        again = Store(store.folder).load(thorough=thorough).set_today(TODAY)
        again.reconcile()
        assert again.state(date(2024, 1, 4)) is State.MISSING
    stored(store.folder, Clicks(), [4])
    assert Store(store.folder).load().set_today(TODAY).state(date(2024, 1, 4)) is State.FINAL
