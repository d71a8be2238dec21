"""Datasets as they grow: restated figures, gaps, days to come, other sources, damaged files."""

import os
from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest


def update(fetch, today, *more):
    answer = fetch("update", "--lookback", "3", "--today", today, *more)
    assert answer.code == 0, answer.err
    return answer.json


def figures(shop):
    return {row["date"]: row["clicks"] for row in shop.all()}


def test_consecutive_days_with_restated_figures_leave_each_day_once_with_the_latest(shop, fetch):
    for number in range(5, 12):
        shop.orders(clicks=number)
        update(fetch, f"2024-03-{number:02}")
    dates = [row["date"] for row in shop.all()]
    assert dates == sorted(set(dates))
    assert len(dates) == 10
    latest = {f"2024-03-{day:02}": str(min(day + 3, 11)) for day in range(2, 12)}
    assert figures(shop) == latest


def test_today_is_provisional_and_fetched_again_tomorrow_even_without_a_lookback(shop, fetch):
    fetch("update", "--lookback", "0", "--today", "2024-03-05")
    assert shop.calls == ["2024-03-05"]
    shop.orders(clicks=9)
    fetch("update", "--lookback", "0", "--today", "2024-03-06")
    assert sorted(shop.calls) == ["2024-03-05", "2024-03-06"]
    assert figures(shop)["2024-03-05"] == "9"
    shop.orders()
    fetch("update", "--lookback", "0", "--today", "2024-03-06")
    assert shop.calls == ["2024-03-06"]


def test_a_gap_made_by_hand_is_found_and_filled(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-10")
    (shop.data / "days/2024-01-04.csv").unlink()
    missing = run("missing", "--out", "data", "--json").json
    assert missing["missing"] == ["2024-01-04"]
    shop.orders()
    update(fetch, "2024-01-12")
    assert "2024-01-04" in shop.calls
    assert "2024-01-05" not in shop.calls
    assert len(shop.all()) == 12


def test_days_that_were_not_asked_for_while_nobody_ran_it_are_caught_up(shop, fetch):
    update(fetch, "2024-01-10")
    shop.orders()
    update(fetch, "2024-02-10")
    assert len(set(shop.calls)) == len(shop.calls)
    assert len(shop.all()) == 3 + 32


def test_a_wider_range_after_a_narrow_one_asks_only_for_the_difference(shop, fetch):
    fetch("fetch", "2024-02-28", "2024-03-01")
    shop.orders()
    fetch("fetch", "2024-02-27", "2024-03-02")
    assert sorted(shop.calls) == ["2024-02-27", "2024-03-02"]
    assert len(shop.all()) == 5


def test_a_failed_day_is_shown_and_tried_again_by_the_next_run(shop, fetch, run):
    shop.orders(fail=["2024-01-02"])
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 1
    states = run("status", "--out", "data", "--json").json["days"]
    assert states == {"2024-01-01": "final", "2024-01-02": "failed", "2024-01-03": "final"}
    shop.orders()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert shop.calls == ["2024-01-02"]


def test_a_day_that_fails_to_be_restated_keeps_the_figures_it_had(shop, fetch):
    shop.orders(clicks=5)
    update(fetch, "2024-03-05")
    shop.orders(fail=["2024-03-04"])
    answer = fetch("update", "--lookback", "3", "--today", "2024-03-05")
    assert answer.code == 1
    assert figures(shop)["2024-03-04"] == "5"


def test_an_empty_day_is_final_and_not_asked_again(shop, fetch):
    shop.orders(empty=["2024-01-02"])
    first = fetch("fetch", "2024-01-01", "2024-01-03").json
    assert (first["days_fetched"], first["days_empty"]) == (3, 1)
    shop.orders()
    assert fetch("fetch", "2024-01-01", "2024-01-03").json["calls"] == 0
    assert shop.calls == []


def test_an_end_in_the_future_is_cut_to_today_and_said_so(shop, fetch):
    answer = fetch("fetch", "2024-03-04", "2024-03-31", "--today", "2024-03-05")
    assert answer.code == 0
    assert "2024-03-31 is in the future: fetching up to today, 2024-03-05" in answer.err
    assert sorted(shop.calls) == ["2024-03-04", "2024-03-05"]


def test_a_start_in_the_future_is_a_slip(shop, fetch):
    answer = fetch("fetch", "2024-03-06", "2024-03-31", "--today", "2024-03-05")
    assert answer.code == 2
    assert "in the future" in answer.err


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_yesterday_is_the_accounts(shop, fetch, zone):
    before = datetime.now(ZoneInfo(zone)).date()
    answer = fetch("fetch", "yesterday", "yesterday", "--time-zone", zone)
    after = datetime.now(ZoneInfo(zone)).date()
    assert answer.code == 0
    first = datetime.fromisoformat(shop.calls[0]).date()
    assert (before - first).days == 1 or (after - first).days == 1


def test_two_years_are_backfilled_up_to_yesterday_and_not_twice(shop, fetch):
    answer = fetch("backfill", "--today", "2024-03-01", "--lookback", "0").json
    assert (answer["from"], answer["to"]) == ("2022-03-01", "2024-02-29")
    assert answer["days_fetched"] == 731
    shop.orders()
    again = fetch("backfill", "--today", "2024-03-01", "--lookback", "0").json
    assert (again["days_asked"], shop.calls) == (0, [])


def test_another_source_does_not_mix_into_a_dataset(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    other = ("--source", "adsfetch.example:fetch_data", "--out", "data")
    answer = run("fetch", "2024-01-01", "2024-01-05", *other)
    assert answer.code == 2
    assert "contains the rows of shop:fetch_data" in answer.err
    assert run("fetch", "2024-01-01", "2024-01-05", *other, "--dataset", "sample").code == 0
    assert len(shop.all()) == 3


def test_other_columns_do_not_mix_into_a_dataset(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-03")
    shop.orders(more={"device": "MOBILE"})
    answer = fetch("fetch", "2024-01-01", "2024-01-04")
    assert answer.code == 1
    assert "(device)" in answer.json["failed"][0]["reason"]
    assert shop.calls == ["2024-01-04"]
    assert Counter(len(row) for row in shop.all()) == {3: 3}


def test_verify_finds_what_was_cut_edited_or_deleted_and_nothing_else(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-06")
    days = shop.data / "days"
    cut, edited, deleted = (days / f"2024-01-0{number}.csv" for number in (1, 2, 3))
    cut.write_bytes(cut.read_bytes()[:-3])
    edited.write_bytes(edited.read_bytes().replace(b",1,", b",2,"))
    deleted.unlink()
    answer = run("verify", "--out", "data", "--json")
    assert answer.code == 1
    assert answer.json["damaged"] == {
        "2024-01-01": "its file was truncated or edited",
        "2024-01-02": "its file was truncated or edited",
        "2024-01-03": "its file was deleted",
    }
    shop.orders()
    assert fetch("fetch", "2024-01-01", "2024-01-06").code == 0
    assert sorted(shop.calls) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert run("verify", "--out", "data").code == 0


def test_verify_reads_files_that_look_untouched(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-02")
    file = shop.data / "days/2024-01-01.csv"
    stat = file.stat()
    file.write_bytes(file.read_bytes().replace(b",1,", b",2,"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run("missing", "--out", "data", "--json").json["missing"] == []
    assert list(run("verify", "--out", "data", "--json").json["damaged"]) == ["2024-01-01"]


def test_a_copied_dataset_is_good_as_it_is(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-03")
    for file in (shop.data / "days").iterdir():
        file.touch()
    shop.orders()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert shop.calls == []


def test_the_aggregate_is_written_again_when_it_was_lost_or_edited(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    before = (shop.data / "all.csv").read_bytes()
    (shop.data / "all.csv").write_text("mine")
    assert run("aggregate", "--out", "data", "--json").json["written"] is True
    assert (shop.data / "all.csv").read_bytes() == before
    assert run("aggregate", "--out", "data", "--json").json["written"] is False


def test_formulas_stay_text_in_a_dataset_that_was_begun_so(shop, fetch, run):
    shop.orders(more={"campaign": '=HYPERLINK("x")'})
    fetch("fetch", "2024-01-01", "2024-01-01", "--escape-formulas")
    fetch("fetch", "2024-01-02", "2024-01-02")
    assert {row["campaign"] for row in shop.all()} == {'\'=HYPERLINK("x")'}


def test_a_dataset_begun_with_raw_text_does_not_become_half_escaped(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-01")
    answer = fetch("fetch", "2024-01-02", "2024-01-02", "--escape-formulas")
    assert answer.code == 2
    assert "created without --escape-formulas" in answer.err
