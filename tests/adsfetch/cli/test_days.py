"""Relative days and months as arguments and options of the commands."""

import json

import pytest

TODAY = ("--today", "2024-03-05")
LAST_WEEK = [f"2024-02-{day}" for day in range(27, 30)] + [f"2024-03-0{day}" for day in range(1, 5)]
FEBRUARY = [f"2024-02-{day:02}" for day in range(1, 30)]


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (["-7d", "yesterday"], LAST_WEEK),
        (["2024-02-27", "-1d"], LAST_WEEK),
        (["2024-02"], FEBRUARY),
        (["last-month"], FEBRUARY),
        (["2024-02", "2024-02-03"], FEBRUARY[:3]),
        (["this-month"], [f"2024-03-0{day}" for day in range(1, 6)]),
        (["yesterday"], ["2024-03-04"]),
    ],
)
def test_the_days_of_the_range_are_fetched_both_ends_included(shop, fetch, words, days):
    result = fetch("fetch", *words, *TODAY)
    assert (result.code, result.err) == (0, "")
    assert sorted(shop.calls) == days


def test_a_day_with_a_minus_is_no_option_wherever_it_stands(shop, run):
    shown = [
        run("fetch", "--dry-run", "--json", *words)
        for words in (
            [*shop.options, *TODAY, "--", "-7d", "-1d"],
            ["-7d", *shop.options, *TODAY, "-1d"],
            [*shop.options, "--today=2024-03-05", "-7d", "-1d"],
            [*shop.options, "--today", "2024-03-05", "-7d", "-1d"],
        )
    ]
    assert [result.json["days"] for result in shown] == [LAST_WEEK] * 4


def test_the_value_of_an_option_may_be_a_day_with_a_minus(shop, run):
    result = run("fetch", "-1d", "today", *shop.options, "--today", "-3d", "--dataset", "-7d")
    assert result.code == 0, result.err
    assert (shop.folder / "data/-7d/all.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-7d"], "-7d is one day: name the last day too, as in -7d yesterday"),
        (["last-week"], "a week begins on Sunday or Monday"),
        (["-7", "yesterday"], "count back in days, as in -7d"),
        (["yesterday", "-7d"], "before it starts"),
        (["last-month", "2024-01-01"], "before it starts"),
        (["-7d", "yesterday", "--lokback", "3"], "--lookback"),
        (["-d", "yesterday"], "No such option '-d'"),
        (["2024-02", "--today", "2024-02"], "it is a month"),
    ],
)
def test_what_could_mean_something_else_is_refused_in_one_line(shop, run, arguments, message):
    result = run("fetch", *arguments, *shop.options)
    assert (result.code, result.out, shop.calls) == (2, "", [])
    assert message in result.err.splitlines()[-1]


def test_the_inspecting_commands_take_the_same_words(shop, fetch, run):
    fetch("fetch", "2024-02-28", "2024-03-02", *TODAY, "--lookback", "0")
    out = ("--out", "data", "--json")
    assert list(run("status", "-7d", "-6d", *TODAY, *out).json["days"]) == LAST_WEEK[:2]
    assert list(run("status", "2024-02", *TODAY, *out).json["days"]) == FEBRUARY
    assert run("missing", "2024-02", *TODAY, *out).json["missing"] == FEBRUARY[:27]
    assert run("missing", "-7d", *TODAY, *out).json["missing"] == ["2024-02-27"]
    march = [*LAST_WEEK[-2:], "2024-03-05"]
    assert run("missing", "this-month", *TODAY, *out).json["missing"] == march
    assert run("forget", "2024-02", *out).json["forgotten"] == ["2024-02-28", "2024-02-29"]
    record = json.loads((shop.data / "dataset.json").read_text())
    assert record["wanted_from"] == "2024-03-01"
