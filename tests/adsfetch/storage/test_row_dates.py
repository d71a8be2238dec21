"""Rows of another day are not believed, wherever they come from."""

import csv
import json
from datetime import UTC, date, datetime

import pytest

from adsfetch import DayError
from adsfetch.google.report import DAY as GOOGLE_DAY
from adsfetch.sources import Batch
from adsfetch.storage.row_dates import RowDates
from adsfetch.storage.staging import Staging
from adsfetch.storage.verify import sha256_of

DAY = date(2024, 2, 3)
RIGHT = [
    DAY,
    datetime.fromisoformat("2024-02-03T23:59"),
    datetime(2024, 2, 3, tzinfo=UTC),
    "2024-02-03",
    " 2024-02-03 ",
    "20240203",
    20240203,
    "2024-W05-6",
    "3 Feb 2024",
    "February 3, 2024",
    "3.2.2024",
    "2024/2/3",
    "2024-02-03T10:00:00Z",
    "2024-02-03 00:00:00 UTC",
    "20240203T101500",
    "3 Feb 2024, 1:45 PM",
    "Saturday, February 3, 2024",
    "Sat, 03 Feb 2024 00:00:00 GMT",
    "03/02/2024",  # can be read as 3 February
    "02/03/2024",
]
WRONG = [
    date(2024, 2, 4),
    datetime.fromisoformat("2024-02-02T23:59"),
    "2024-02-04",
    "2023-02-03",
    "2024-03-02",
    "04/02/2024",
    "2024-02-04T00:00:00",
    "3.3.2024",
    "yesterday",
    "today",
    "",
    None,
    "n/a",
    3,
    1706918400,
    True,
    ["2024-02-03"],
]


def stage(folder, *rows, columns=()):
    return Staging(folder, columns, escape_formulas=False).write(DAY, rows)


@pytest.mark.parametrize("name", ["date", "segments.date"])
@pytest.mark.parametrize("value", RIGHT)
def test_a_row_of_the_day_is_accepted_in_any_form(tmp_path, name, value):
    assert stage(tmp_path, {name: DAY, "n": 1}, {name: value, "n": 1}).rows == 2


@pytest.mark.parametrize("name", ["date", "segments.date"])
@pytest.mark.parametrize("value", WRONG)
def test_a_row_of_another_day_fails_the_day(tmp_path, name, value):
    rows = [{name: DAY, "n": 1}, {name: value, "n": 1}, {name: value, "n": 2}]
    with pytest.raises(DayError, match=f"2 of 3 rows are not of 2024-02-03, such as {name}"):
        stage(tmp_path, *rows)
    assert not list(tmp_path.iterdir())


def test_both_date_columns_must_be_right(tmp_path):
    with pytest.raises(DayError, match=r"1 of 2 rows .* segments\.date"):
        stage(
            tmp_path,
            {"date": DAY, "segments.date": DAY},
            {"date": DAY, "segments.date": "2024-02-04"},
        )


@pytest.mark.parametrize("name", ["date_", "segments.dates", "Update"])
def test_a_column_of_another_name_is_not_the_date(tmp_path, name):
    assert stage(tmp_path, {name: "2020-01-01"}).columns == ("date", name)


@pytest.mark.parametrize("name", ["Date", "DATE", "Day", "Segments.Date"])
def test_a_date_in_a_column_with_capital_letters_must_be_right_too(tmp_path, name):
    assert stage(tmp_path, {name: DAY}, {name: "Monday"}).columns == ("date", name)
    with pytest.raises(DayError, match=f"1 of 2 rows .* such as {name} '2024-02-04'"):
        stage(tmp_path, {name: DAY}, {name: "2024-02-04"})


@pytest.mark.parametrize(("value", "right"), [("Monday", True), (3, True), ("2024-02-04", False)])
def test_a_column_day_is_checked_where_it_is_a_date(tmp_path, value, right):
    if right:
        assert stage(tmp_path, {"day": value}).rows == 1
    else:
        with pytest.raises(DayError, match="such as day '2024-02-04'"):
            stage(tmp_path, {"day": value})


def test_the_rows_of_a_batch_are_counted_once_each(tmp_path):
    names = ("segments.date", "n", "date")
    days = ["2024-02-03", "2024-02-04", "2024-02-04", "2024-02-03"]
    others = ["2024-02-03", "2024-02-05", "2024-02-03", "2024-02-03"]
    batch = Batch(names, (days, list("1234"), others))
    with pytest.raises(DayError, match=r"2 of 6 rows .* '2024-02-0[45]'"):
        stage(tmp_path, batch, Batch(names, (days[:1] * 2, ["5", "6"], days[:1] * 2)))


def test_google_rows_have_the_column_that_is_checked():
    dates = RowDates(DAY)
    dates.add_columns((GOOGLE_DAY,), (["2024-02-04"],))
    assert dates.wrong == 1


def test_rows_of_two_days_fail_their_day_and_nothing_is_stored_twice(shop, fetch, run):
    shop.configure(dates={"2024-01-02": ["2024-01-02", "2024-01-03", "2024-01-03"]})
    result = fetch("fetch", "2024-01-01", "2024-01-03")
    assert result.code == 1
    assert "2 of 3 rows are not of 2024-01-02" in result.json["failed"][0]["reason"]
    assert shop.calls.count("2024-01-02") == 1
    assert [row["date"] for row in shop.all()] == ["2024-01-01", "2024-01-03"]
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert [row["date"] for row in shop.all()] == ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_a_restated_day_with_rows_of_another_keeps_its_old_rows(shop, fetch):
    fetch("update", "--lookback", "3", "--today", "2024-03-05")
    shop.configure(clicks=9, dates={"2024-03-04": ["2024-03-05"]})
    assert fetch("update", "--today", "2024-03-05").code == 1
    assert {row["date"]: row["clicks"] for row in shop.all()}["2024-03-04"] == "1"


@pytest.mark.parametrize("lost", [False, True])
def test_a_file_that_was_copied_to_another_day_is_not_that_day(shop, fetch, run, lost):
    fetch("fetch", "2024-01-01", "2024-01-03")
    days = shop.data / "days"
    for name in ("2024-01-02", "2024-01-04", "2023-12-31"):
        (days / f"{name}.csv").write_bytes((days / "2024-01-01.csv").read_bytes())
    if lost:
        (shop.data / "manifest.jsonl").unlink()
    missing = run("missing", "2023-12-31", "2024-01-04", "--out", "data", "--json").json["missing"]
    assert missing == ["2023-12-31", "2024-01-02", "2024-01-04"]
    shop.configure()
    assert fetch("fetch", "2023-12-31", "2024-01-04").code == 0
    assert sorted(shop.calls) == missing
    assert len({row["date"] for row in shop.all()}) == len(shop.all()) == 5


def test_verify_finds_rows_of_another_day_that_were_once_believed(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    write_as_recorded(shop.data, "2024-01-02", "date,clicks,note\n2024-01-02,1,x\n2024-01-03,1,x\n")
    assert run("missing", "--out", "data", "--json").json["missing"] == []
    result = run("verify", "--out", "data", "--json")
    assert result.code == 1
    assert "1 of 2 rows are not of 2024-01-02" in result.json["damaged"]["2024-01-02"]
    assert run("verify", "--out", "data").code == 1
    assert run("missing", "--out", "data", "--json").json["missing"] == ["2024-01-02"]
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert shop.calls == ["2024-01-02"]
    assert len(shop.all()) == 3


def write_as_recorded(folder, day, text):
    """Replace the file of a day and its line in the manifest, as an older version wrote them."""
    path = folder / f"days/{day}.csv"
    path.write_text(text)
    manifest = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    line = next(line for line in lines if line["day"] == day)
    stat = path.stat()
    line |= {"sha256": sha256_of(path), "size": stat.st_size, "changed": stat.st_mtime_ns}
    line.pop("record")
    with manifest.open("a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "",  # truncated to nothing: not a day without rows
        "date,date,note\n2024-01-02,2024-01-02,x\n",
        "date,clicks,note\n2024-01-02,1,x",
        "date,clicks,note\n2024-01-02,1\n",
        "date,clicks\n2024-01-02,1\n",
        "date,clicks,note\n2024-01-03,1,x\n",
        'date,clicks,note\n2024-01-02,1,"x\n',
        "\ufeffdate,clicks,note\n2024-01-02,1,x\n",
        "date,clicks,note\r\n2024-01-02,1,x\r\n",  # a spreadsheet wrote it
        '"date","clicks","note"\n"2024-01-02","1","x"\n',
    ],
)
def test_a_file_without_an_entry_is_not_believed_unless_it_is_that_of_its_day(
    shop, fetch, run, text
):
    fetch("fetch", "2024-01-01", "2024-01-03")
    (shop.data / "manifest.jsonl").unlink()
    (shop.data / "days/2024-01-02.csv").write_text(text, newline="")
    assert run("missing", "--out", "data", "--json").json["missing"] == ["2024-01-02"]
    assert run("aggregate", "--out", "data").code == 0
    assert [row["date"] for row in shop.all()] == ["2024-01-01", "2024-01-03"]


def test_empty_files_prove_nothing_even_if_nothing_else_is_left(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    for name in ("manifest.jsonl", "dataset.json"):
        (shop.data / name).unlink()
    for file in (shop.data / "days").iterdir():
        file.write_bytes(b"")
    arguments = ("2024-01-01", "2024-01-03", "--out", "data", "--json")
    assert len(run("missing", *arguments).json["missing"]) == 3
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert len(shop.all()) == 3


def test_a_day_without_rows_gets_its_header_as_soon_as_one_is_known(shop, fetch, run):
    shop.configure(empty=["2024-01-01", "2024-01-02"])
    fetch("fetch", "2024-01-01", "2024-01-02")
    empty = shop.data / "days/2024-01-01.csv"
    assert empty.read_bytes() == b""
    shop.configure()
    fetch("fetch", "2024-01-01", "2024-01-03")
    assert shop.calls == ["2024-01-03"]
    with empty.open(newline="") as lines:
        assert next(csv.reader(lines)) == ["date", "clicks", "note"]
    assert run("verify", "--out", "data").code == 0
    (shop.data / "manifest.jsonl").unlink()
    shop.configure()
    assert fetch("fetch", "2024-01-01", "2024-01-03").code == 0
    assert shop.calls == []


def test_a_try_that_fails_does_not_define_the_columns(tmp_path):
    staging = Staging(tmp_path, (), escape_formulas=False)

    def broken():
        yield {"date": DAY, "wrong": 1}
        raise ConnectionError("the source is down")

    with pytest.raises(ConnectionError):
        staging.write(DAY, broken())
    assert staging.write(DAY, [{"date": DAY, "clicks": 1}]).columns == ("date", "clicks")
    with pytest.raises(DayError, match="wrong"):
        staging.write(DAY, [{"date": DAY, "wrong": 1}])


def test_two_days_at_once_agree_on_the_order_of_the_columns(tmp_path):
    staging = Staging(tmp_path, (), escape_formulas=False)

    def slow():
        yield {"date": DAY, "clicks": 1}
        staging.write(DAY, [{"clicks": 1, "date": DAY}])

    with pytest.raises(Exception, match="order of the columns"):
        staging.write(DAY, slow())
    assert staging.write(DAY, slow()).columns == ("clicks", "date")
