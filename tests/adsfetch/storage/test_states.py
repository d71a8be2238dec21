"""What is recorded about a day, and what the commands make of it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from adsfetch.storage.manifest import encode_line, parse_line
from adsfetch.storage.states import (
    AFTER,
    MARKS,
    TABLE,
    Entry,
    Event,
    Record,
    State,
    set_clock,
    state_of,
)

DOCUMENT = Path(__file__).parents[3] / "docs/ads.md"
DAY = date(2024, 1, 10)
WEEK = ("fetch", "2024-01-01", "2024-01-03")


def after(days):
    return DAY + timedelta(days)


def held(fetched_on, rows=1, **more):
    return Entry(DAY, rows, 10, "abc", fetched_on, 1, **more)


def state(entry, today, lookback=30, earliest=None):
    return state_of(entry, today=today, lookback=lookback, earliest=earliest)


def states(run, *more):
    return run("status", "--out", "data", "--json", *more).json["days"]


def in_words(*flags):
    return ["yes" if flag else "no" for flag in flags]


def test_the_table_of_the_document_is_that_of_the_code():
    columns = ["recorded", "shown as", "mark", "to fetch", "all.csv"]
    expected = [[*columns, *map(str, Event)]]
    for row in TABLE:
        flags = in_words(row.to_fetch, row.in_aggregate)
        expected.append([row.record, row.state, f"`{row.mark}`", *flags, *row.after])
    lines = DOCUMENT.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| recorded |"))
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines[start : start + len(TABLE) + 2]
    ]
    assert [table[0], *table[2:]] == expected
    assert not lines[start + len(TABLE) + 2].startswith("|")


def test_a_record_is_shown_in_exactly_its_states_of_the_table():
    shown = {
        (record, state(held(after(age), rows, record=record), after(50)))
        for record in Record
        for rows in (0, 1)
        for age in (1, 40)
    }
    assert shown == {(row.record, row.state) for row in TABLE}


def test_every_event_is_defined_for_every_record():
    assert AFTER.keys() == set(Record)
    for record, events in AFTER.items():
        assert events.keys() == set(Event)
        assert events[Event.FETCHED] is Record.HELD
        assert events[Event.FORGOTTEN] is Record.NOTHING
        assert (events[Event.FAILED] is Record.HELD) == (record is Record.HELD)
    assert MARKS.keys() == set(State)


@pytest.mark.parametrize(
    ("fetched", "today", "expected"),
    [
        (0, 0, "provisional"),
        (0, 400, "provisional"),  # before its end, whenever that was
        (29, 29, "provisional"),
        (30, 30, "final"),
        (30, -1, "missing"),  # a day after today
        (-5, 3, "provisional"),  # fetched in its own future
    ],
)
def test_a_day_is_final_by_the_date_of_its_fetch(fetched, today, expected):
    assert state(held(after(fetched)), after(today)) == expected


def test_without_a_lookback_a_day_is_final_after_its_end():
    assert state(held(DAY), DAY, lookback=0) == "provisional"
    assert state(held(after(1)), after(1), lookback=0) == "final"
    assert state(held(after(1), rows=0), after(1), lookback=0) == "empty"


@pytest.mark.parametrize("record", [Record.HELD, Record.CLOSED])
def test_what_can_no_longer_be_fetched_is_as_final_as_it_will_ever_be(record):
    entry = held(after(2), record=record)
    assert state(entry, after(90), earliest=after(1)) == "final"
    assert state(held(DAY, record=record), after(90), earliest=after(1)) == "provisional"
    nothing = Entry(DAY, record=Record.NOTHING)
    assert state(nothing, after(90), earliest=after(1)) == "unavailable"


def test_what_a_source_says_of_a_day_before_its_end_does_not_last():
    told = Entry(DAY, fetched_on=DAY, record=Record.UNAVAILABLE)
    assert state(told, after(50)) == "missing"
    told = Entry(DAY, fetched_on=after(1), record=Record.UNAVAILABLE)
    assert state(told, after(50)) == "unavailable"


def test_dates_that_are_still_to_come_move_back_together():
    entries = [
        Entry(date(2024, 1, day), 1, 1, "a", date(2024, 1, day) + timedelta(400))
        for day in range(1, 31)
    ]
    corrected = set_clock(entries, date(2024, 1, 30))
    assert all(entry.fetched_on == day for day, entry in corrected.items())
    assert set_clock(corrected.values(), date(2024, 1, 30)) == corrected


@pytest.mark.parametrize("today", [date.min, DAY, date.max])
def test_no_date_is_too_far_away_for_the_clock(today):
    entries = [held(date.max), Entry(after(1), 1, 1, "a", after(3))]
    for entry in set_clock(entries, today).values():
        assert entry.fetched_on <= today


def test_what_a_run_with_a_clock_ahead_was_told_is_asked_again():
    ahead = [
        Entry(DAY, fetched_on=after(95), record=Record.UNAVAILABLE),
        Entry(after(1), 1, 1, "a", after(95), record=Record.CLOSED),
    ]
    first, second = set_clock(ahead, after(40)).values()
    assert state(first, after(40), lookback=0) == "failed"
    assert state(second, after(40), lookback=0) == "provisional"


@pytest.mark.parametrize("record", list(Record)[:-1])
def test_an_entry_is_read_as_it_was_written(record):
    entry = Entry(DAY, 3, 20, "abc", after(1), 5, record, "why\nnot")
    assert parse_line(encode_line(entry).decode()) == entry


OLD = {"day": "2024-01-10", "rows": 0, "size": 0, "sha256": "", "fetched_on": "2024-02-20"}


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ({**OLD, "changed": 0, "problem": ""}, Record.FAILED),
        ({**OLD, "changed": 0, "problem": "ConnectionError: down"}, Record.FAILED),
        ({**OLD, "sha256": "abc", "problem": ""}, Record.HELD),
        ({**OLD, "sha256": "abc", "problem": "its file was deleted"}, Record.DAMAGED),
        ({**OLD, "record": "held"}, Record.FAILED),
        ({**OLD, "record": "closed", "problem": ""}, Record.FAILED),
        ({**OLD, "record": "unavailable"}, Record.UNAVAILABLE),
    ],
)
def test_no_line_without_a_checksum_holds_a_day(line, record):
    assert parse_line(json.dumps(line)).record is record


@pytest.mark.parametrize(
    "line",
    [
        '{"day": "2024-01-10", "rows": "5"}',
        '{"day": "2024-01-10", "sha256": 5}',
        '{"day": "2024-01-10", "record": "half"}',
        '{"day": 20240110}',
        '{"rows": 5}',
        "[1]",
        "[" * 100_000,
        "null",
        "",
    ],
)
def test_a_line_that_is_no_entry_is_ignored(line):
    assert parse_line(line) is None


@pytest.mark.parametrize(
    "error",
    [
        "RuntimeError",
        "OSError()",
        "ValueError('')",
        "KeyError()",
        "Exception(' ')",
        "SystemExit(0)",
    ],
)
def test_a_failure_without_words_is_a_failed_day(shop, fetch, run, error):
    shop.configure(**{"raise": {"2024-01-02": error}})
    assert fetch(*WEEK).code == 1
    missing = run("missing", "--out", "data", "--json").json
    assert missing["states"] == {"2024-01-02": "failed"}
    assert missing["reasons"]["2024-01-02"]
    assert [row["date"] for row in shop.all()] == ["2024-01-01", "2024-01-03"]
    shop.configure()
    assert fetch(*WEEK).code == 0
    assert shop.calls == ["2024-01-02"]
    assert len(shop.all()) == 3


def test_the_reason_of_a_failed_day_is_shown_later(shop, fetch, run):
    shop.configure(fail=["2024-01-02"])
    fetch(*WEEK)
    reason = "ConnectionError: the source is down"
    assert run("missing", "--out", "data").out == f"2024-01-02  failed  {reason}\n"
    assert run("status", "--out", "data", "--json").json["reasons"] == {"2024-01-02": reason}


def test_a_dataset_with_a_failure_that_was_recorded_as_empty_heals(shop, fetch, run):
    fetch(*WEEK)
    line = {**OLD, "day": "2024-01-02", "changed": 0, "problem": ""}
    with (shop.data / "manifest.jsonl").open("a") as manifest:
        manifest.write(json.dumps(line) + "\n")
    (shop.data / "days/2024-01-02.csv").unlink()
    assert run("aggregate", "--out", "data").code == 0
    assert states(run)["2024-01-02"] == "failed"
    shop.configure()
    assert fetch(*WEEK).code == 0
    assert shop.calls == ["2024-01-02"]
    assert len(shop.all()) == 3


def test_a_truncated_day_that_then_fails_is_not_believed(shop, fetch, run):
    shop.configure(rows=3)
    fetch(*WEEK)
    file = shop.data / "days/2024-01-02.csv"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    shop.configure(fail=["2024-01-02"])
    assert fetch(*WEEK).code == 1
    assert fetch(*WEEK).code == 1
    assert states(run)["2024-01-02"] == "failed"
    assert run("missing", "--out", "data", "--json").json["missing"] == ["2024-01-02"]
    file.write_bytes(whole)  # for example from a backup
    assert run("verify", "--out", "data").code == 0
    assert states(run)["2024-01-02"] == "final"


def test_an_unavailable_day_is_not_asked_for_again_and_is_no_failure(shop, fetch, run):
    error = "adsfetch.UnavailableError('older than 90 days')"
    shop.configure(**{"raise": {"2024-01-02": error}})
    first = fetch(*WEEK)
    assert (first.code, first.json["days_unavailable"], first.json["days_failed"]) == (0, 1, 0)
    assert states(run)["2024-01-02"] == "unavailable"
    assert run("missing", "--out", "data", "--json").json["missing"] == []
    assert "1 unavailable" in run("status", "--out", "data").out
    shop.configure()
    again = fetch(*WEEK)
    assert (again.code, shop.calls) == (0, [])
    assert "1 days are unavailable" in again.err
    assert len(shop.all()) == 2
    run("forget", "2024-01-02", "2024-01-02", "--out", "data")
    assert fetch(*WEEK).code == 0
    assert shop.calls == ["2024-01-02"]


def test_a_day_that_is_held_stays_when_it_becomes_unavailable(shop, fetch, run):
    options = ("--lookback", "3", "--today", "2024-03-05")
    assert fetch("update", *options).code == 0
    shop.configure(**{"raise": {"2024-03-04": "adsfetch.UnavailableError()"}})
    assert fetch("update", *options).code == 0
    assert states(run, "--today", "2024-03-05")["2024-03-04"] == "final"
    assert len(shop.all()) == 4
    shop.configure()
    fetch("update", *options)
    assert "2024-03-04" not in shop.calls
