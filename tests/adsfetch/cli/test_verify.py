"""``verify --against-source``: the real client, against the local server of the real protobufs."""

import csv
import hashlib
import json

import pytest

RANGE = ("2024-01-01", "2024-02-29", "--today", "2024-03-05", "--lookback", "10")
LOST = {  # day: the rows of it that are lost; a day has five
    "2024-01-01": [0],
    "2024-01-02": [4],
    "2024-01-09": [2],
    "2024-01-10": [0, 4],
    "2024-01-11": [1, 2, 3],
    "2024-01-30": [0, 1, 2, 3, 4],
    "2024-02-05": [3],
    "2024-02-14": [0, 1, 2, 3],
    "2024-02-20": [1],
    "2024-02-24": [2, 3],
}
COLUMNS = ["rows", "metrics.impressions", "metrics.clicks", "metrics.cost_micros"]


@pytest.fixture
def held(google, ads, tmp_path):
    """Sixty days of five rows; those from 25 February on are provisional."""
    ads.behave(rows=5)
    assert google("fetch", *RANGE).code == 0
    return tmp_path / "data/1234567890-campaign"


@pytest.fixture
def compare(google):
    """Run the comparison as if it were a few days after the fetch."""
    return lambda *more: google("verify", "--against-source", "--today", "2024-03-05", *more)


def rows_of(path):
    with path.open(newline="") as lines:
        return list(csv.reader(lines))


def lose(folder, day, numbers):
    """Remove rows from the file of a day, and make the manifest match."""
    path, manifest = folder / f"days/{day}.csv", folder / "manifest.jsonl"
    header, *rows = rows_of(path)
    kept = [row for number, row in enumerate(rows) if number not in numbers]
    with path.open("w", newline="") as lines:
        csv.writer(lines, lineterminator="\n").writerows([header, *kept])
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    for entry in entries:
        if entry["day"] == day:
            stat, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
            entry |= {"rows": len(kept), "size": stat.st_size, "changed": stat.st_mtime_ns}
            entry["sha256"] = digest
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def missing(run, today="2024-03-05"):
    states = run("missing", "--out", "data", "--today", today, "--json").json["states"]
    return sorted(day for day, state in states.items() if state == "missing")


def test_ten_losses_and_restated_days_are_found_and_nothing_else(held, compare, google, ads, run):
    before = rows_of(held / "all.csv")
    for day, numbers in LOST.items():
        lose(held, day, numbers)
    assert run("verify", "--out", "data").code == 0  # the records agree: only the source can tell
    ads.behave(rows=5, restated={"2024-01-31": 8, "2024-02-27": 9})
    result = compare()
    assert result.code == 1, result.err
    compared = result.json["compared"]
    assert sorted(compared["differs"]) == sorted([*LOST, "2024-01-31"])
    assert compared["differs"]["2024-01-31"] == {"metrics.clicks": ["35", "40"]}
    assert compared["differs"]["2024-01-30"] == {
        "rows": ["0", "5"],
        "metrics.impressions": ["0", "5010"],
        "metrics.clicks": ["0", "35"],
        "metrics.cost_micros": ["0", "180750010"],
        "metrics.conversions": ["0", "7.5"],
    }
    assert compared["restated"] == {"2024-02-27": {"metrics.clicks": ["35", "45"]}}
    assert (compared["days"], compared["not_held"], compared["marked"]) == (60, [], True)
    assert "2024-01-31  it differs from its source: metrics.clicks 35 here, 40" in result.err
    assert (compared["operations"], len(ads.log()["ranges"]), ads.log()["days"]) == (1, 1, [])
    # The days stay missing, whoever looks at their intact files, until a run fetches them.
    assert missing(run) == sorted([*LOST, "2024-01-31"])
    assert sorted(run("verify", "--out", "data", "--json").json["damaged"]) == missing(run)
    assert google("fetch", *RANGE).code == 0
    provisional = [f"2024-02-{day}" for day in range(25, 30)]
    assert sorted(ads.log()["days"]) == sorted([*LOST, "2024-01-31", *provisional])
    assert missing(run) == []
    assert compare().code == 0
    pairs = zip(before, rows_of(held / "all.csv"), strict=True)
    altered = {one[0] for one, other in pairs if one != other}
    assert altered == {"2024-01-31", "2024-02-27"}


def test_equal_days_are_intact_and_what_was_compared_is_named(held, compare, run):
    result = compare()
    assert (result.code, result.err) == (0, "")
    compared = result.json["compared"]
    assert compared["columns"][:4] == COLUMNS
    assert "metrics.conversions" in compared["columns"]
    assert (compared["differs"], compared["restated"], compared["marked"]) == ({}, {}, False)
    assert missing(run) == []


def test_a_day_that_differs_and_cannot_be_fetched_again_is_not_held(
    held, compare, google, ads, run
):
    lose(held, "2024-01-09", [0])
    assert compare().code == 1
    ads.behave({"do": "query", "day": "2024-01-09", "times": 9}, rows=5)
    assert google("fetch", *RANGE).code == 1
    states = run("missing", "--out", "data", "--today", "2024-03-05", "--json").json["states"]
    assert states["2024-01-09"] == "failed"
    assert "2024-01-09" not in (held / "all.csv").read_text()


@pytest.mark.parametrize("failure", ["internal", "break", "expired", "quota"])
def test_a_failed_call_is_made_again_and_no_row_counts_twice(held, compare, ads, failure):
    ads.behave({"on": "range", "do": failure, "retry_delay": 0.01, "times": 2}, rows=5)
    result = compare()
    assert result.code == 0, result.err
    assert result.json["compared"]["operations"] == 3 == len(ads.log()["ranges"])


@pytest.mark.parametrize("refusal", [("permission", 3), ("quota", 4), ("query", 2)])
def test_a_refused_call_marks_nothing(held, compare, ads, run, refusal):
    failure, code = refusal
    lose(held, "2024-01-09", [0])
    ads.behave({"on": "range", "do": failure, "retry_delay": 9000, "times": 99}, rows=5)
    result = compare()
    assert (result.code, result.out) == (code, "")
    assert missing(run) == []


def test_days_that_are_missing_on_either_side_are_named(google, ads, compare, run):
    ads.behave({"do": "internal", "day": "2024-01-03", "times": 9}, rows=5, empty=["2024-01-05"])
    assert google("fetch", "2024-01-01", "2024-01-08", "--attempts", "1").code == 1
    ads.behave(rows=5, empty=["2024-01-07"])
    result = compare()
    assert result.json["compared"]["not_held"] == ["2024-01-03"]
    rows = {day: sums["rows"] for day, sums in result.json["compared"]["differs"].items()}
    assert rows == {"2024-01-05": ["0", "5"], "2024-01-07": ["5", "0"]}
    assert missing(run) == ["2024-01-05", "2024-01-07"]


def of_query(google, tmp_path, text):
    """Fetch three days of a query, and return how to compare them."""
    (tmp_path / "q.gaql").write_text(text)
    query = ("--query", "q.gaql", "--today", "2024-03-05")
    assert google("fetch", "2024-01-01", "2024-01-03", *query).code == 0
    return lambda: google("verify", "--against-source", *query)


def test_a_query_without_metrics_is_compared_by_the_number_of_rows(google, ads, tmp_path):
    compare = of_query(google, tmp_path, "SELECT campaign.id FROM campaign")
    ads.behave(rows=4)
    compared = compare().json["compared"]
    assert compared["columns"] == ["rows"]
    assert compared["differs"]["2024-01-02"] == {"rows": ["3", "4"]}


def test_ratios_and_lists_are_not_compared(google, ads, tmp_path):
    metrics = "metrics.clicks, metrics.ctr, metrics.interaction_event_types"
    compare = of_query(google, tmp_path, f"SELECT {metrics} FROM campaign")
    compared = compare().json["compared"]
    assert compared["columns"] == ["rows", "metrics.clicks"]
    assert compared["not_compared"] == metrics.split(", ")[1:]


def test_a_condition_on_an_attribute_marks_nothing(google, ads, tmp_path, run):
    condition = "WHERE campaign.status = 'ENABLED'"
    compare = of_query(google, tmp_path, f"SELECT metrics.clicks FROM campaign {condition}")
    ads.behave(restated={"2024-01-02": 9})
    result = compare()
    assert result.code == 1
    assert result.json["compared"]["marked"] is False
    assert "2024-01-02  metrics.clicks 21 here, 27 at the source" in result.err
    assert "the query selects rows by campaign.status" in result.err
    assert missing(run) == []


def test_a_query_with_a_limit_cannot_be_compared(google, ads, tmp_path):
    compare = of_query(google, tmp_path, "SELECT metrics.clicks FROM campaign LIMIT 3")
    ads.behave()
    result = compare()
    assert result.code == 2
    assert "has a LIMIT" in result.err
    assert ads.log()["headers"] == []


def test_another_query_than_that_of_the_dataset_is_not_compared(held, google, ads, tmp_path):
    (tmp_path / "campaign.gaql").write_text("SELECT metrics.clicks FROM campaign")
    ads.behave()
    result = google("verify", "--against-source", "--query", "campaign.gaql")
    assert result.code == 2
    assert "this dataset contains the rows of Google Ads" in result.err
    assert ads.log()["headers"] == []


def test_a_source_that_is_a_function_is_not_asked_for_sums(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    shop.configure()
    result = run("verify", "--against-source", *shop.options)
    assert result.code == 2
    assert "only Google Ads can be asked for the sums" in result.err
    assert shop.calls == []


def test_a_source_without_the_comparison_is_a_mistake(held, google):
    result = google("verify")
    assert result.code == 2
    assert "is for verify --against-source" in result.err


def test_the_text_says_what_was_compared(held, run, ads, google):
    ads.behave(rows=5, restated={"2024-02-27": 9})
    options = ["--customer-id", "1234567890", "--config", str(ads.config)]
    arguments = ("verify", "--against-source", "--today", "2024-03-05", *options, "--out", "data")
    result = run(*arguments, env=ads.environment)
    assert (result.code, result.err) == (0, "")
    assert "60 days are intact, 0 are not" in result.out
    assert ", API v26: 60 days by 1 operation: number of rows, " in result.out
    assert "restated since they were fetched, and still provisional: 1" in result.out
    assert "2024-02-27  metrics.clicks 35 here, 45 at the source" in result.out
    assert run(*arguments, "--quiet", env=ads.environment).out == ""


ACCOUNTS = ("1000000001", "1000000002", "1000000003")


@pytest.fixture
def agency(run, ads):
    """Run a command with the credentials of an agency, whose accounts the datasets remember."""

    def go(*arguments):
        waits = ("--wait-initial", "0.01", "--wait-max", "0.02", "--today", "2024-03-05")
        return run(*arguments, "--out", "data", *waits, "--json", env=ads.environment)

    ids = [word for account in ACCOUNTS for word in ("--customer-id", account)]
    first = ("fetch", "2024-01-01", "2024-01-05", "--config", str(ads.config), *ids)
    assert go(*first, "--daily-operations", "100").code == 0
    return go


def test_all_datasets_are_compared_and_one_refused_account_stops_no_other(
    agency, ads, tmp_path, run
):
    for account in ACCOUNTS:
        lose(tmp_path / f"data/{account}-campaign", "2024-01-02", [0])
    ads.behave({"on": "range", "customer": ACCOUNTS[1], "do": "permission", "times": 9})
    result = agency("verify", "--against-source")
    assert result.code == 3
    first, refused, last = result.json["datasets"]
    assert list(first["damaged"]) == list(last["damaged"]) == ["2024-01-02"]
    assert refused["damaged"] == {}
    assert "USER_PERMISSION_DENIED" in refused["error"]
    assert f"{ACCOUNTS[1]}-campaign: USER_PERMISSION_DENIED" in result.err
    ads.behave()
    assert agency("verify", "--against-source", "--dataset", f"{ACCOUNTS[1]}-campaign").code == 1
    assert len(ads.log()["ranges"]) == 1


def test_a_used_up_quota_ends_the_comparison_of_all_datasets(agency, ads):
    ads.behave({"on": "range", "do": "quota", "retry_delay": 9000, "after": 1, "times": 9})
    result = agency("verify", "--against-source")
    assert result.code == 4
    errors = [record.get("error", "") for record in result.json["datasets"]]
    assert errors.count("") == 1
    assert any("the quota is used up for another 2.5 hours" in error for error in errors)
    assert len(ads.log()["ranges"]) <= len(ACCOUNTS), "no account is asked again"


def test_many_accounts_are_compared_at_the_same_time_and_pause_together(agency, ads):
    limit = {"on": "range", "do": "quota", "scope": "DEVELOPER", "retry_delay": 0.2}
    ads.behave(limit, together=(1, len(ACCOUNTS)))
    assert agency("verify", "--against-source").code == 0
    assert ads.log()["busiest"] == len(ACCOUNTS)
    assert len(ads.log()["ranges"]) == len(ACCOUNTS) + 1


def test_each_attempt_is_an_operation_of_the_budget(agency, ads, tmp_path):
    def spent():
        record = json.loads((tmp_path / "data/operations.json").read_text())
        return sum(record["spent"].values())

    before = spent()
    ads.behave({"on": "range", "do": "internal"})
    assert agency("verify", "--against-source").code == 0
    assert spent() - before == 4 == len(ads.log()["ranges"])


def test_a_function_among_the_datasets_is_only_verified_here(agency, shop, fetch, ads):
    assert fetch("fetch", "2024-01-01", "2024-01-03", "--today", "2024-03-05").code == 0
    result = agency("verify", "--against-source")
    assert result.code == 0, result.err
    assert [record["days"] for record in result.json["datasets"]] == [5, 5, 5, 3]
    assert "fetch_data is not compared: only Google Ads can be asked" in result.err


def test_damage_is_named_with_its_dataset_and_what_to_do(run, tmp_path):
    for name in ("one", "two"):
        source = ["--source", "adsfetch.example:fetch_data", "--dataset", name, "--out", "data"]
        run("fetch", "2024-02-27", "2024-02-28", *source)
    (tmp_path / "data/two/days/2024-02-28.csv").unlink()
    result = run("verify", "--out", "data")
    assert result.code == 1
    assert result.err.splitlines() == [
        "two: 2024-02-28  its file was deleted",
        "two: the next update, or a fetch of these days, replaces them",
    ]
