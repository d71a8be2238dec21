"""The commands that call no source: what they say about days, and how days are forgotten."""

import json
from datetime import datetime

import pytest

from tests.waiting import PATIENCE

LOOKBACK = ("--lookback", "3")
UTC = ("--time-zone", "UTC")


def update(fetch, today, *more):
    result = fetch("update", "--today", today, *more)
    assert result.code == 0, result.err
    return result


def dataset(shop):
    return json.loads((shop.data / "dataset.json").read_text())


def missing(run, *more):
    return run("missing", "--out", "data", "--json", *more).json["missing"]


def instant(text):
    """Seconds since 1970 of a quarter past five, or of an instant, in UTC."""
    return int(
        datetime.fromisoformat(f"{text}T05:15+00:00" if len(text) == 10 else f"{text}Z").timestamp()
    )


def ran_on(shop, text, **change):
    """Change the record of the last run as if it had been on another day."""
    file = shop.data / "last_run.json"
    ended = instant(text)
    old = json.loads(file.read_text())
    file.write_text(json.dumps({**old, "ended": ended, "succeeded": ended, **change}))


def news(run, today):
    """The line of `status` about the last run and the newest day."""
    return run("status", "--out", "data", "--today", today).out.splitlines()[1]


def january(*days):
    return [f"2024-01-{day:02}" for day in days]


def test_days_that_stopped_coming_are_missing(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK, *UTC)
    later = run("status", "--out", "data", "--today", "2024-03-21", "--json").json
    assert later["last_fetched"] == "2024-03-05"
    assert later["counts"]["missing"] == 16
    assert max(later["days"]) == "2024-03-21"
    assert (later["newest_day"], later["missing_since_newest_day"]) == ("2024-03-05", 15)
    ran_on(shop, "2024-03-08")
    result = run("status", "--out", "data", "--today", "2024-03-21", "--html", "page.html")
    news = "last run 13 days ago (2024-03-08 05:15); newest day 2024-03-05: 15 days are missing"
    assert (result.code, result.out.splitlines()[1]) == (0, f"{news} since then")
    assert news in (shop.folder / "page.html").read_text()
    assert len(missing(run, "--today", "2024-03-21")) == 16 + 3


def test_a_dataset_that_no_update_keeps_ends_with_what_was_requested(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03", "--today", "2024-03-05")
    result = run("status", "--out", "data", "--today", "2024-03-21", "--json").json
    assert list(result["days"]) == january(1, 2, 3)
    assert result["last_fetched"] == "2024-03-05"
    assert (result["newest_day"], result["missing_since_newest_day"]) == ("2024-01-03", 0)


def test_the_run_of_today_may_still_come(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK, *UTC)
    ran_on(shop, "2024-03-05")
    assert news(run, "2024-03-05") == "last run today (2024-03-05 05:15); newest day 2024-03-05"
    assert news(run, "2024-03-06") == "last run yesterday (2024-03-05 05:15); newest day 2024-03-05"
    assert news(run, "2024-03-07").endswith("; newest day 2024-03-05: 1 day is missing since then")


def test_days_at_the_end_of_what_was_requested_are_missing_if_they_failed(shop, fetch, run):
    shop.configure(fail=january(3, 4))
    fetch("fetch", "2024-01-01", "2024-01-04", "--today", "2024-03-05", "--attempts", "1")
    assert news(run, "2024-03-05").endswith(
        "; newest day 2024-01-02: 2 days are missing since then"
    )
    assert run("status", "--out", "data", "--today", "2024-03-05").code == 0


def test_a_run_that_failed_is_told_with_its_reason_and_the_last_success(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK, *UTC)
    ran_on(shop, "2024-03-05")
    shop.configure(
        **{"raise": {f"2024-03-0{day}": "adsfetch.OAuthError('revoked')" for day in range(1, 9)}}
    )
    assert fetch("update", "--today", "2024-03-08").code == 3
    ran_on(shop, "2024-03-08", succeeded=instant("2024-03-05"))
    assert news(run, "2024-03-08") == (
        "last run today (2024-03-08 05:15), exit code 3: revoked; last success 3 days ago "
        "(2024-03-05 05:15); newest day 2024-03-05: 2 days are missing since then"
    )
    record = run("status", "--out", "data", "--today", "2024-03-08", "--json").json
    assert (record["last_exit_code"], record["last_reason"]) == (3, "revoked")
    assert record["last_run"] == "2024-03-08T05:15:00+00:00"
    assert record["last_success"] == "2024-03-05T05:15:00+00:00"


def test_a_run_without_a_day_is_told_too(shop, fetch, run):
    shop.configure(fail=january(1))
    fetch("fetch", "2024-01-01", "2024-01-01", "--today", "2024-03-05", "--attempts", "1")
    assert "exit code 1: 1 day failed; no success so far; no day is held" in news(run, "2024-03-05")


def test_the_last_run_is_told_in_the_time_zone_of_the_account(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK, "--time-zone", "Asia/Tokyo")
    ran_on(shop, "2024-03-04T21:00")
    assert news(run, "2024-03-05").startswith("last run today (2024-03-05 06:00); ")


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "[]", "{}", '{"ended": "now"}', "9" * 5000, "[" * 100_000],
)
def test_a_record_that_is_lost_or_damaged_costs_no_more_than_the_time_of_the_run(
    shop, fetch, run, content
):
    update(fetch, "2024-03-05", *LOOKBACK)
    file = shop.data / "last_run.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert news(run, "2024-03-08") == (
        "last fetched 3 days ago (2024-03-05); newest day 2024-03-05: 2 days are missing since then"
    )
    record = run("status", "--out", "data", "--today", "2024-03-08", "--json").json
    assert (record["last_run"], record["last_exit_code"]) == ("", None)
    update(fetch, "2024-03-08")
    assert news(run, "2024-03-08").startswith("last run ")


def test_the_lookback_of_the_last_run_is_kept(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK)
    shop.configure()
    update(fetch, "2024-03-06")
    assert sorted(shop.calls) == ["2024-03-03", "2024-03-04", "2024-03-05", "2024-03-06"]
    assert len(missing(run, "--today", "2024-03-06")) == 3
    assert len(missing(run, "--today", "2024-03-06", "--lookback", "30")) == 5
    update(fetch, "2024-03-06", "--lookback", "0")
    assert missing(run, "--today", "2024-03-06") == ["2024-03-06"]
    assert dataset(shop)["lookback"] == 0


def test_a_slip_in_the_year_is_named_and_can_be_taken_back(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK)
    days = sorted(row["date"] for row in shop.all())
    result = fetch("fetch", "2014-03-01", "2014-03-02", "--today", "2024-03-05")
    assert "update will now want 3652 more days, from 2014-03-03 to 2024-03-01" in result.err
    command = result.err.partition("this takes it back: adsfetch ")[2].split()
    assert command[:3] == ["forget", "2014-03-01", "2014-03-02"]
    assert len(missing(run, "--today", "2024-03-05")) == 3652 + 3
    done = run(*command, "--json")
    assert done.code == 0
    assert done.json["forgotten"] == ["2014-03-01", "2014-03-02"]
    assert done.json["wanted_from"] == "2024-03-02"
    assert [row["date"] for row in shop.all()] == days
    assert not list((shop.data / "days").glob("2014*"))
    assert missing(run, "--today", "2024-03-05") == ["2024-03-03", "2024-03-04", "2024-03-05"]
    shop.configure()
    update(fetch, "2024-03-05")
    assert sorted(shop.calls) == ["2024-03-03", "2024-03-04", "2024-03-05"]


def test_a_slip_can_be_taken_back_after_an_update_too(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK)
    fetch("fetch", "2023-12-30", "2023-12-31", "--today", "2024-03-05")
    update(fetch, "2024-03-05")
    assert len(shop.all()) == 67
    run("forget", "2023-12-30", "2024-03-01", "--out", "data")
    assert len(shop.all()) == 4
    assert dataset(shop)["wanted_from"] == "2024-03-02"
    shop.configure()
    update(fetch, "2024-03-05")
    assert min(shop.calls) == "2024-03-03"


def test_a_slip_in_a_dry_run_is_named_too(shop, fetch):
    update(fetch, "2024-03-05", *LOOKBACK)
    result = fetch("fetch", "2014-01-01", "2014-01-02", "--today", "2024-03-05", "--dry-run")
    assert "forget 2014-01-01 2014-01-02" in result.err


def test_a_range_beside_the_old_one_is_no_slip(shop, fetch):
    fetch("fetch", "2024-01-05", "2024-01-06")
    assert fetch("fetch", "2024-01-03", "2024-01-04").err == ""
    assert fetch("fetch", "2024-01-20", "2024-01-21").err == ""


def test_a_forgotten_day_in_the_middle_is_fetched_again(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-05")
    listed = run("forget", "2024-01-02", "2024-01-03", "--out", "data", "--dry-run", "--json")
    assert listed.json["forgotten"] == january(2, 3)
    assert len(shop.all()) == 5
    assert run("forget", "2024-01-02", "2024-01-03", "--out", "data").code == 0
    assert [row["date"] for row in shop.all()] == january(1, 4, 5)
    assert missing(run) == january(2, 3)
    shop.configure()
    fetch("fetch", "2024-01-01", "2024-01-05")
    assert sorted(shop.calls) == january(2, 3)


def test_a_whole_dataset_can_be_forgotten(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-05")
    result = run("forget", "0001-01-01", "9999-12-31", "--out", "data", "--json")
    assert (result.code, len(result.json["forgotten"])) == (0, 5)
    assert shop.all() == []
    assert run("status", "--out", "data").code == 2
    assert fetch("fetch", "2024-01-01", "2024-01-02").code == 0
    assert len(shop.all()) == 2


def test_what_was_requested_and_never_came_is_still_wanted_after_forget(shop, fetch, run):
    shop.configure(fail=january(1, 2))
    fetch("fetch", "2024-01-01", "2024-01-05")
    (shop.data / "manifest.jsonl").unlink()  # no line names the first two days
    fetch("fetch", "2023-01-01", "2023-01-01")
    run("forget", "2023-01-01", "2023-01-01", "--out", "data")
    assert missing(run) == january(1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["2024-01-05", "2024-01-01"], "before it starts"),
        (["2024-01-05", "2024-13-01"], "2024-13-01"),
        (["2024-01-01", "2024-01-05", "--dataset", "other"], "there is no dataset"),
    ],
)
def test_a_wrong_range_forgets_nothing(shop, fetch, run, arguments, message):
    fetch("fetch", "2024-01-01", "2024-01-05")
    result = run("forget", *arguments, "--out", "data")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(shop.all()) == 5


def test_forget_waits_for_a_run(shop, fetch, run):
    shop.configure(wait=january(3))
    running = shop.start("fetch", "2024-01-01", "2024-01-05")
    shop.wait_for_calls(5)
    impatient = run("forget", "2024-01-01", "2024-01-01", "--out", "data", "--lock-wait", "0.1")
    assert impatient.code == 1
    (shop.folder / "go").touch()
    running.communicate(timeout=PATIENCE)
    assert len(shop.all()) == 5


def test_a_dataset_of_an_older_version_is_read(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03", "--lookback", "3")
    record = dataset(shop)
    for name in ("requested", "daily", "lookback", "earliest_days", "days_available"):
        del record[name]
    record["wanted_to"] = "2024-01-04"
    (shop.data / "dataset.json").write_text(json.dumps(record))
    assert missing(run) == january(4)
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-04").code == 0
    assert shop.calls == january(4)
