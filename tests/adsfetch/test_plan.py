"""Which days are fetched: restated, new, failed and missing ones, and ranges in the future."""

from datetime import datetime
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
