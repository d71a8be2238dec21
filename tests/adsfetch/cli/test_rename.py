"""Another name, another place of the source, or a query with more columns."""

import csv
import shutil

import pytest

EXAMPLE = ["--source", "adsfetch.example:fetch_data", "--out", "data", "--lookback", "0"]
SHORT = "SELECT campaign.id, metrics.clicks FROM campaign"
LONGER = "SELECT campaign.id, campaign.name, metrics.clicks, metrics.cost_micros FROM campaign"
MOVING = ["--source", "moving:fetch_data"]
ID, OTHER = "1234567890", "1234567891"


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def clicks(google, tmp_path):
    """Fetch days of a query of our own, for two accounts."""
    query = tmp_path / "clicks.gaql"

    def fetch(start, end, text):
        query.write_text(text)
        options = ["--query", "clicks.gaql", "--lookback", "0", "--customer-id", OTHER]
        return google("fetch", start, end, *options)

    return fetch


def test_a_source_that_moved_keeps_its_days(run, tmp_path):
    run("fetch", "2024-02-27", "2024-03-01", *EXAMPLE)
    (tmp_path / "reports.py").write_text("from adsfetch.example import fetch_data as daily\n")
    moved = ["--source", "reports:daily", "--out", "data", "--dataset", "fetch_data"]
    assert run("fetch", "2024-02-27", "2024-03-02", *moved).code == 2
    assert run("rename", *moved).code == 0
    result = run("fetch", "2024-02-27", "2024-03-02", *moved, "--json")
    assert (result.code, result.json["days_asked"]) == (0, 1)
    assert run("update", "--out", "data", "--today", "2024-03-04").code == 0


def test_a_dataset_gets_another_name(run, tmp_path):
    run("fetch", "2024-02-27", "2024-03-01", *EXAMPLE)
    assert run("rename", "--dataset", "fetch_data", "--to", "shop", "--out", "data").code == 0
    assert not (tmp_path / "data/fetch_data").exists()
    assert run("missing", "--out", "data").code == 0
    (tmp_path / "data/other").mkdir()
    taken = run("rename", "--dataset", "shop", "--to", "other", "--out", "data")
    assert (taken.code, "already" in taken.err) == (2, True)
    assert run("update", "--out", "data", "--today", "2024-03-04").code == 0


def test_a_query_with_an_added_metric_keeps_the_days_with_blank_cells(clicks, run, tmp_path):
    assert clicks("2024-02-01", "2024-02-03", SHORT).code == 0
    refused = clicks("2024-02-01", "2024-02-05", LONGER)
    assert (refused.code, "not of" in refused.err) == (2, True)
    renamed = run("rename", "--query", "clicks.gaql", "--out", "data", "--json")
    assert len(renamed.json["datasets"]) == 2
    result = clicks("2024-02-01", "2024-02-05", LONGER)
    assert (result.code, result.json["days_asked"]) == (0, 4)
    for number in (ID, OTHER):
        rows = rows_of(tmp_path / f"data/{number}-clicks/all.csv")
        old = [row for row in rows if row["segments.date"] <= "2024-02-03"]
        new = [row for row in rows if row["segments.date"] > "2024-02-03"]
        assert (len(old), len(new)) == (9, 6)
        assert {row["campaign.name"] + row["metrics.cost"] for row in old} == {""}
        assert {row["metrics.clicks"] for row in rows} == {"7"}
        assert all(row["campaign.name"] and row["metrics.cost"] for row in new)
    assert run("verify", "--out", "data", "--dataset", f"{ID}-clicks").code == 0
    again = run("rename", "--query", "clicks.gaql", "--out", "data", "--json").json["datasets"]
    assert all(line.endswith(": 0 days have new columns") for line in again)


def test_a_query_that_lost_a_column_is_refused(clicks, run):
    clicks("2024-02-01", "2024-02-02", LONGER)
    clicks("2024-02-01", "2024-02-02", SHORT)  # refused, but the file has the short one now
    result = run("rename", "--query", "clicks.gaql", "--out", "data")
    assert result.code == 2
    assert "campaign.name" in result.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{LONGER} WHERE campaign.id > 5", "has another WHERE"),
        (LONGER.replace("FROM campaign", "FROM ad_group"), "has another FROM"),
        (LONGER.replace("campaign.name", "segments.device"), "segments.device, by which"),
    ],
)
def test_a_query_with_other_rows_is_refused(clicks, run, text, why):
    clicks("2024-02-01", "2024-02-02", SHORT)
    clicks("2024-02-01", "2024-02-02", text)  # refused, but the file has this text now
    result = run("rename", "--query", "clicks.gaql", "--out", "data")
    assert (result.code, why in result.err) == (2, True), result.err


def test_exactly_one_change_is_asked_for(run):
    run("fetch", "2024-02-27", "2024-03-01", *EXAMPLE)
    assert run("rename", "--out", "data").code == 2
    assert run("rename", "--to", "a", "--source", "b:c", "--out", "data").code == 2


def test_the_command_of_yesterday_continues_a_renamed_dataset(run, tmp_path):
    run("fetch", "2024-02-27", "2024-03-01", *EXAMPLE)
    run("rename", "--dataset", "fetch_data", "--to", "shop", "--out", "data")
    (tmp_path / "data/fetch_data").mkdir()  # what a run that could not start leaves behind
    result = run("fetch", "2024-02-27", "2024-03-02", *EXAMPLE, "--json")
    assert (result.json["dataset"], result.json["days_asked"]) == ("shop", 1)
    assert not (tmp_path / "data/fetch_data/days").exists()
    run("fetch", "2024-02-27", "2024-02-27", *EXAMPLE, "--dataset", "other")
    unclear = run("fetch", "2024-02-27", "2024-02-27", *EXAMPLE)
    assert (unclear.code, "with --dataset: other, shop" in unclear.err) == (2, True)


def test_an_account_is_never_twice_in_the_file_of_all_accounts(google, run, ads, tmp_path):
    accounts = ["--customer-id", OTHER, "--lookback", "0"]
    google("fetch", "2024-02-01", "2024-02-02", *accounts)
    name = f"{ID}-campaign"
    assert run("rename", "--dataset", name, "--to", "main", "--out", "data").code == 0
    result = google("fetch", "2024-02-01", "2024-02-03", *accounts)
    assert (result.code, result.json["days_asked"]) == (0, 2)
    combined = tmp_path / "data/all/campaign.csv"
    before = combined.read_bytes()
    assert len(rows_of(combined)) == 2 * 3 * 3
    shutil.copytree(tmp_path / "data/main", tmp_path / "data" / name)
    refused = run("update", "--out", "data", "--today", "2024-02-04", env=ads.environment)
    assert refused.code == 1
    assert f"data/{name} and main contain the same report of {ID}" in refused.err
    assert combined.read_bytes() == before


def test_a_module_that_moved_is_named_with_what_to_do(run, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    (old / "moving.py").write_text("def fetch_data(day):\n    return [{'clicks': 1}]\n")
    run("fetch", "2024-02-27", "2024-02-28", *MOVING, "--out", "data", folder="old")
    (old / "moving.py").rename(new / "moving.py")
    lost = run("update", "--out", "data", folder="old")
    assert lost.code == 2
    assert "adsfetch rename --source moving:fetch_data in its new folder" in lost.err
    wrong = run("rename", *MOVING, "--out", "../old/data", folder="old")
    assert (wrong.code, f"no module 'moving' in {old}" in wrong.err) == (2, True)
    right = run("rename", *MOVING, "--out", "../old/data", folder="new")
    assert right.out == f"fetch_data is fetched from moving:fetch_data in {new} now\n"
    assert run("update", "--out", "old/data", "--today", "2024-02-28").code == 0
