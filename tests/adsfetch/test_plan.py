"""Which days are fetched: restated, new, failed and missing ones, and ranges in the future."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest


def update(fetch, today, *more):
    result = fetch("update", "--lookback", "3", "--today", today, *more)
    assert result.code == 0, result.err
    return result.json


def clicks_by_day(shop):
    return {row["date"]: row["clicks"] for row in shop.all()}


def test_consecutive_daily_runs_store_each_day_once_with_the_latest_numbers(shop, fetch):
    for number in range(5, 12):
        shop.configure(clicks=number)
        update(fetch, f"2024-03-{number:02}")
    dates = [row["date"] for row in shop.all()]
    assert dates == sorted(set(dates))
    assert len(dates) == 10
    latest = {f"2024-03-{day:02}": str(min(day + 3, 11)) for day in range(2, 12)}
    assert clicks_by_day(shop) == latest


def test_today_is_provisional_and_fetched_again_tomorrow_even_without_a_lookback(shop, fetch):
    fetch("update", "--lookback", "0", "--today", "2024-03-05")
    assert shop.calls == ["2024-03-05"]
    shop.configure(clicks=9)
    fetch("update", "--lookback", "0", "--today", "2024-03-06")
    assert sorted(shop.calls) == ["2024-03-05", "2024-03-06"]
    assert clicks_by_day(shop)["2024-03-05"] == "9"
    shop.configure()
    fetch("update", "--lookback", "0", "--today", "2024-03-06")
    assert shop.calls == ["2024-03-06"]


def test_a_deleted_day_is_found_and_fetched_again(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-10")
    (shop.data / "days/2024-01-04.csv").unlink()
    missing = run("missing", "--out", "data", "--json").json
    assert missing["missing"] == ["2024-01-04"]
    shop.configure()
    update(fetch, "2024-01-12")
    assert "2024-01-04" in shop.calls
    assert "2024-01-05" not in shop.calls
    assert len(shop.all()) == 12


def test_days_without_a_run_are_fetched_by_the_next_run(shop, fetch):
    update(fetch, "2024-01-10")
    shop.configure()
    update(fetch, "2024-02-10")
    assert len(set(shop.calls)) == len(shop.calls)
    assert len(shop.all()) == 3 + 32


def test_a_wider_range_after_a_narrow_one_fetches_only_the_difference(shop, fetch):
    fetch("fetch", "2024-02-28", "2024-03-01")
    shop.configure()
    fetch("fetch", "2024-02-27", "2024-03-02")
    assert sorted(shop.calls) == ["2024-02-27", "2024-03-02"]
    assert len(shop.all()) == 5


def test_a_failed_day_is_shown_and_fetched_by_the_next_run(shop, fetch, run):
    shop.configure(fail=["2024-01-02"])
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 1
    states = run("status", "--out", "data", "--json").json["days"]
    assert states == {"2024-01-01": "final", "2024-01-02": "failed", "2024-01-03": "final"}
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert shop.calls == ["2024-01-02"]


def test_an_empty_day_is_final_and_not_fetched_again(shop, fetch):
    shop.configure(empty=["2024-01-02"])
    first = fetch("fetch", "2024-01-01", "2024-01-03").json
    assert (first["days_fetched"], first["days_empty"]) == (3, 1)
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-03").json["calls"] == 0
    assert shop.calls == []


def test_an_end_in_the_future_is_cut_to_today_with_a_note(shop, fetch):
    result = fetch("fetch", "2024-03-04", "2024-03-31", "--today", "2024-03-05")
    assert result.code == 0
    assert "2024-03-31 is in the future: fetching up to today, 2024-03-05" in result.err
    assert sorted(shop.calls) == ["2024-03-04", "2024-03-05"]


def test_a_start_in_the_future_is_a_usage_error(shop, fetch):
    result = fetch("fetch", "2024-03-06", "2024-03-31", "--today", "2024-03-05")
    assert result.code == 2
    assert "in the future" in result.err


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_yesterday_is_that_of_the_account(shop, fetch, zone):
    before = datetime.now(ZoneInfo(zone)).date()
    result = fetch("fetch", "yesterday", "yesterday", "--time-zone", zone)
    after = datetime.now(ZoneInfo(zone)).date()
    assert result.code == 0
    first = datetime.fromisoformat(shop.calls[0]).date()
    assert (before - first).days == 1 or (after - first).days == 1


def test_two_years_are_backfilled_up_to_yesterday_and_not_twice(shop, fetch):
    result = fetch("backfill", "--today", "2024-03-01", "--lookback", "0").json
    assert (result["from"], result["to"]) == ("2022-03-01", "2024-02-29")
    assert result["days_fetched"] == 731
    shop.configure()
    again = fetch("backfill", "--today", "2024-03-01", "--lookback", "0").json
    assert (again["days_asked"], shop.calls) == (0, [])


def days_of_all(shop):
    return [row["date"] for row in shop.all()]


def march(first, last):
    return [f"2024-03-{day:02}" for day in range(first, last + 1)]


def test_one_night_with_the_clock_ahead_makes_no_day_final(shop, fetch, run):
    update(fetch, "2024-03-05")
    ahead = (datetime(2024, 3, 6) + timedelta(day) for day in range(95))  # noqa: DTZ001 - days
    shop.configure(empty=[f"{day:%Y-%m-%d}" for day in ahead])
    update(fetch, "2024-06-08")
    shop.configure(clicks=7)
    result = fetch("update", "--today", "2024-03-06")
    assert result.code == 0
    assert (
        "a run recorded 2024-06-08 as its date, but for the account it is 2024-03-06" in result.err
    )
    assert "94 days after today, 2024-03-06, are left out" in result.err
    assert days_of_all(shop) == march(2, 6)
    status = run("status", "--out", "data", "--today", "2024-03-06", "--json").json
    assert max(status["days"]) == "2024-03-06"
    assert status["days"]["2024-03-06"] == "provisional"
    shown = run("status", "2024-03-07", "2024-03-08", "--out", "data", "--today", "2024-03-06")
    assert "2 missing" in shown.out
    for number in range(7, 32):
        update(fetch, f"2024-03-{number:02}")
        assert days_of_all(shop) == march(2, number)
    assert set(clicks_by_day(shop).values()) == {"7", "1"}
    assert clicks_by_day(shop)["2024-03-06"] == "7"


def test_days_of_a_clock_ahead_do_not_become_final_by_waiting(shop, fetch, run):
    update(fetch, "2024-03-05")
    shop.configure(empty=march(6, 20))
    update(fetch, "2024-03-25")
    update(fetch, "2024-03-06")  # the only run in the meantime
    shop.configure()
    update(fetch, "2024-06-01")
    assert set(march(6, 20)) <= set(shop.calls)
    assert days_of_all(shop)[:24] == march(2, 25)


def test_a_clock_behind_loses_nothing(shop, fetch, run):
    for day in ("2024-03-05", "2024-03-15"):
        update(fetch, day)
    result = fetch("update", "--today", "2024-03-10")
    assert result.code == 0
    assert days_of_all(shop) == march(2, 10)
    update(fetch, "2024-03-16")
    assert days_of_all(shop) == march(2, 16)
    assert run("missing", "--out", "data", "--today", "2024-03-16", "--json").json["missing"] == (
        march(14, 16)
    )


def test_a_clock_before_the_first_day_is_an_error_and_changes_no_day(shop, fetch):
    def contents():
        files = [file for file in shop.data.rglob("*.*") if file.name != "last_run.json"]
        return {file: file.read_bytes() for file in files}

    update(fetch, "2024-03-05")
    before = contents()
    result = fetch("update", "--today", "1970-01-01")
    assert result.code == 2
    assert "is the clock behind?" in result.err
    assert contents() == before


def test_a_day_that_has_not_begun_in_the_account_is_left_out(shop, fetch):
    fetch("update", "--lookback", "2", "--time-zone", "Pacific/Kiritimati")
    east = days_of_all(shop)  # in Pago Pago it is always at least a day earlier
    fetch("update", "--time-zone", "Pacific/Pago_Pago")
    west = days_of_all(shop)
    assert east[-1] not in west
    assert set(east[:1]) <= set(west)
    fetch("update", "--time-zone", "Pacific/Kiritimati")
    assert set(east) <= set(days_of_all(shop))


def test_days_before_the_earliest_are_unavailable_in_all_commands(shop, fetch, run):
    options = ("--today", "2024-03-31", "--lookback", "0")
    first = fetch("fetch", "2024-03-01", "2024-03-31", "--earliest-days", "10", *options)
    assert first.code == 0
    assert "20 missing days before 2024-03-21 are no longer available" in first.err
    assert sorted(shop.calls) == march(21, 31)
    status = run("status", "--out", "data", "--today", "2024-03-31", "--json").json
    assert status["counts"]["unavailable"] == 20
    missing = run("missing", "--out", "data", "--today", "2024-03-31", "--json").json
    assert missing["missing"] == march(31, 31)
    shop.configure()
    assert fetch("update", *options).code == 0
    assert shop.calls == march(31, 31)
    assert fetch("backfill", "--years", "0.25", *options).code == 0
    assert fetch("fetch", "2024-03-01", "2024-03-31", *options).code == 0
    assert days_of_all(shop) == march(21, 31)


def test_a_clock_that_was_ahead_moves_no_day_out_of_reach(fetch, run):
    options = ("--earliest-days", "10", "--lookback", "0")
    fetch("fetch", "2024-03-01", "2024-03-03", *options, "--today", "2024-09-01")
    missing = run("missing", "--out", "data", "--today", "2024-03-05", "--json").json
    assert missing["missing"] == march(1, 3)


def test_a_failed_day_becomes_unavailable_with_time(shop, fetch, run):
    options = ("--earliest-days", "10", "--lookback", "0")
    shop.configure(fail=march(21, 21))
    assert fetch("fetch", "2024-03-21", "2024-03-23", "--today", "2024-03-31", *options).code == 1
    assert fetch("update", "--today", "2024-03-31").code == 1
    shop.configure()
    assert fetch("update", "--today", "2024-04-01").code == 0
    assert "2024-03-21" not in shop.calls
    status = run("status", "--out", "data", "--today", "2024-04-01", "--json").json["days"]
    assert status["2024-03-21"] == "unavailable"
    assert fetch("update", "--today", "2024-04-01", "--earliest-days", "20").code == 0
    assert "2024-03-21" in shop.calls


def test_a_day_that_is_held_and_out_of_reach_is_not_asked_for(shop, fetch, run):
    fetch("fetch", "2024-03-01", "2024-03-03", "--today", "2024-03-05")
    shop.configure()
    options = ("--today", "2024-03-20", "--earliest-days", "10")
    assert fetch("fetch", "2024-03-01", "2024-03-03", *options).code == 0
    assert shop.calls == []
    assert run("missing", "--out", "data", "--today", "2024-03-20", "--json").json["missing"] == []
    assert days_of_all(shop) == march(1, 3)
