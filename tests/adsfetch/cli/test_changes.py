"""What fetching again has altered: the record of it, and the lookback that follows."""

import json
import random
from datetime import date, timedelta
from shutil import copytree

import pytest

from adsfetch.storage import changes

START = date(2024, 3, 1)


def update(fetch, today, *more):
    result = fetch("update", "--today", str(today), "--lookback", "5", *more)
    assert result.code == 0, result.err


def shown(run):
    return run("changes", "--out", "data", "--json").json


def lines(shop):
    return [json.loads(line) for line in (shop.data / "changes.jsonl").read_text().splitlines()]


@pytest.fixture
def restated(shop, fetch):
    """A week of daily runs: each day has 10 clicks, 12 at the age of 2 days, 13 at 4 days."""

    def clicks(today):
        ages = {today - timedelta(age): age for age in range(10)}
        return {str(day): 10 + 2 * (age >= 2) + (age >= 4) for day, age in ages.items()}

    for number in range(8):
        today = START + timedelta(number)
        shop.configure(clicks_of=clicks(today), rows=2)
        update(fetch, today)
    return shop


def test_what_changed_is_shown_by_age_with_the_lookback_that_follows(restated, run):
    record = shown(run)
    assert record["changes_by_age"] == {"2": 7, "4": 7}
    assert record["columns"]["clicks"] == {
        "altered": "42",
        "net": "42",
        "lookback": 4,
        "by_age": {"2": "28", "4": "14"},
    }
    assert record["columns"]["rows"]["altered"] == "0"
    assert (record["lookback"], record["lookback_needed"]) == (5, 4)
    text = run("changes", "--out", "data").out
    assert "--lookback 4 would have caught 99.9 %" in text
    assert "clicks       42  +42         4" in text


def test_a_day_that_was_not_over_or_has_not_changed_is_no_alteration(shop, fetch, run):
    for number in range(4):
        shop.configure(clicks_of={str(START): number})  # it changes on its own day, and then
        update(fetch, START)
    shop.configure(clicks_of={str(START): 3})
    update(fetch, START + timedelta(1))
    update(fetch, START + timedelta(2))
    assert shown(run)["changes"] == 0
    assert "no day that was held was replaced" in run("changes", "--out", "data").out
    shop.configure(clicks_of={str(START): 4})
    update(fetch, START + timedelta(2))
    assert [line["sums"] for line in lines(shop)] == [{"rows": ["1", "1"], "clicks": ["3", "4"]}]


def test_rows_that_vanish_and_appear_are_alterations(shop, fetch, run):
    day = str(START - timedelta(2))
    for empty in ([], [day], []):
        shop.configure(rows=2, empty=empty, clicks=5)
        update(fetch, START)
    record = shown(run)
    assert [line["sums"]["clicks"] for line in lines(shop) if line["day"] == day] == [
        ["10", "0"],
        ["0", "10"],
    ]
    assert record["columns"]["rows"]["by_age"] == {"2": "4"}
    assert record["columns"]["clicks"]["net"] == "0"


def test_other_columns_may_change_without_the_sums(shop, fetch, run):
    update(fetch, START)
    shop.configure(width=5)
    update(fetch, START)
    record = shown(run)
    assert record["changes"] == 4
    assert (record["columns"]["clicks"]["altered"], record["lookback_needed"]) == ("0", 0)


def test_a_day_that_was_damaged_or_failed_is_no_alteration(shop, fetch, run):
    update(fetch, START)
    files = sorted((shop.data / "days").iterdir())
    files[0].unlink()
    files[1].write_text("date,clicks,note\n")
    shop.configure(clicks=2)
    update(fetch, START)
    assert sorted(line["day"] for line in lines(shop)) == [file.stem for file in files[2:5]]


def test_lines_that_were_cut_or_edited_are_left_out(restated, fetch, run):
    path = restated.data / "changes.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b'5\n{"day": "2024-03-01"}\nnull\n' + whole[:-20])
    assert shown(run)["changes"] == 13
    restated.configure(clicks=99)
    update(fetch, START + timedelta(7))
    last = [json.loads(line) for line in path.read_text().splitlines()[-4:]]
    assert {line["sums"]["clicks"][1] for line in last} == {"99"}
    assert shown(run)["changes"] == 13 + 4


def test_the_file_is_bounded_and_keeps_the_newest_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(changes, "MAX_BYTES", 5000)
    path = tmp_path / "changes.jsonl"
    for number in range(1000):
        day = START + timedelta(number)
        changes.append(path, changes.Change(day, day + timedelta(1), {}))
        assert path.stat().st_size <= 5000
    kept = changes.load(path)
    assert len(kept) > 20
    assert [change.day for change in kept] == [
        day - timedelta(len(kept) - 1 - n) for n in range(len(kept))
    ]


def test_the_page_of_status_does_not_replace_the_record(restated, run):
    result = run("status", "--out", "data", "--html", "data/fetch_data/changes.jsonl")
    assert result.code == 2
    assert lines(restated)


def test_several_datasets_are_listed_with_the_lookback_of_each(restated, run):
    copytree(restated.data, restated.folder / "data/other")
    (restated.folder / "data/other/changes.jsonl").unlink()
    records = run("changes", "--out", "data", "--json").json["datasets"]
    assert [(each["dataset"], each["lookback_needed"]) for each in records] == [
        ("fetch_data", 4),
        ("other", 0),
    ]
    lines = run("changes", "--out", "data").out.splitlines()
    assert [line.split()[0] for line in lines] == ["dataset", "fetch_data", "other"]


def test_without_a_dataset_the_name_is_named(run):
    result = run("changes", "--out", "data", "--dataset", "other")
    assert result.code == 2
    assert "there is no dataset" in result.err


def clicks_held(shop):
    files = (shop.data / "days").glob("*.csv")
    return {file.stem: file.read_text().splitlines()[1].split(",")[1] for file in files}


def test_a_kill_loses_one_line_at_most_and_never_a_day(shop, fetch, run):
    arguments = ("update", "--today", str(START), "--lookback", "41", "--workers", "2")
    moments, kills = random.Random(5), 6
    assert fetch(*arguments).code == 0
    days = clicks_held(shop).keys()
    for clicks in range(2, 2 + kills):
        shop.configure(clicks=clicks, latency=0.02)
        process = shop.start(*arguments)
        shop.wait_for_calls(moments.randint(3, 35))
        process.kill()
        process.communicate()
        assert clicks_held(shop).keys() == days
        assert fetch(*arguments).code == 0
        assert run("verify", "--out", "data").code == 0
        held = clicks_held(shop)
        assert held.pop(str(START - timedelta(41))) == "1"  # it is final
        assert set(held.values()) == {str(clicks)}
    recorded = shown(run)
    assert len(days) == 42
    assert 40 * kills - kills <= recorded["changes"] <= 40 * kills
    assert recorded["changes_by_age"].keys() == {str(age) for age in range(1, 41)}
