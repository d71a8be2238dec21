"""The commands that call no source: what they say about days, and how days are forgotten."""

import json

import pytest

from tests.waiting import PATIENCE

LOOKBACK = ("--lookback", "3")


def update(fetch, today, *more):
    result = fetch("update", "--today", today, *more)
    assert result.code == 0, result.err
    return result


def dataset(shop):
    return json.loads((shop.data / "dataset.json").read_text())


def missing(run, *more):
    return run("missing", "--out", "data", "--json", *more).json["missing"]


def january(*days):
    return [f"2024-01-{day:02}" for day in days]


def test_days_that_stopped_coming_are_missing(shop, fetch, run):
    update(fetch, "2024-03-05", *LOOKBACK)
    later = run("status", "--out", "data", "--today", "2024-03-21", "--json").json
    assert later["last_fetched"] == "2024-03-05"
    assert later["counts"]["missing"] == 16
    assert max(later["days"]) == "2024-03-21"
    text = run("status", "--out", "data", "--today", "2024-03-21").out
    assert "last fetched on 2024-03-05, 16 days ago" in text
    assert len(missing(run, "--today", "2024-03-21")) == 16 + 3


def test_a_dataset_that_no_update_keeps_ends_with_what_was_requested(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03", "--today", "2024-03-05")
    result = run("status", "--out", "data", "--today", "2024-03-21", "--json").json
    assert list(result["days"]) == january(1, 2, 3)
    assert result["last_fetched"] == "2024-03-05"
    page = run("status", "--out", "data", "--today", "2024-03-21", "--html", "page.html")
    assert "last fetched on 2024-03-05, 16 days ago" in page.out
    assert "16 days ago" in (shop.folder / "page.html").read_text()


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
