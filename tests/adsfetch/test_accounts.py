"""Many accounts in one run, by the real client against the local server."""

import csv
import re
from collections import Counter
from datetime import date, timedelta

import pytest

MANAGER, CLOSED, REFUSED, FAILING = "9000000000", "1000000001", "1000000002", "1000000003"
IDS = [f"10000000{n:02}" for n in range(8)]
FETCHED = [each for each in IDS if each != CLOSED]
FIRST, LAST = "2024-02-01", "2024-02-05"
NO_LOOKBACK = ["--lookback", "0", "--today", "2024-03-01"]
REFUSAL = {"do": "permission", "customer": REFUSED, "times": 1_000}
FAILURE = {"do": "internal", "customer": FAILING, "day": "2024-02-03", "times": 5}


def clients():
    found = [{"id": each} for each in IDS]
    found[1] |= {"status": "CANCELED", "name": "Old Shop"}
    return [*found, {"id": "1000000099", "test": True}]


@pytest.fixture
def agency(run, ads):
    """Run a command with the credentials of the agency, and with short waits."""

    def go(*arguments, **more):
        options = ["--out", "data", "--config", str(ads.config), "--json"]
        waits = ["--wait-initial", "0.05", "--wait-max", "0.2"]
        return run(*arguments, *options, *waits, env=ads.environment, **more)

    return go


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_all_enabled_clients_of_a_manager_are_fetched_and_one_dead_account_stops_no_other(
    agency, ads, tmp_path
):
    ads.behave(REFUSAL, FAILURE, clients=clients())
    result = agency("fetch", FIRST, LAST, "--manager", "900-000-0000", *NO_LOOKBACK)
    assert result.code == 3
    assert f"{CLOSED} Old Shop is left out: canceled" in result.err
    assert "1000000099 Größe & Co is left out: a test account" in result.err
    codes = {part["dataset"][:10]: part["exit_code"] for part in result.json["datasets"]}
    assert codes == {**dict.fromkeys(FETCHED, 0), REFUSED: 3, FAILING: 1}
    assert f"{REFUSED}-campaign: stopped: USER_PERMISSION_DENIED" in result.err
    assert re.fullmatch(r"Google Ads, query [0-9a-f]{12}, API v\d+", result.json["source"])
    assert f"{FAILING}-campaign: failed 2024-02-03" in result.err
    calls = Counter(map(tuple, ads.log()["calls"]))
    assert calls[MANAGER, None] == 1
    assert sum(count for (customer, _), count in calls.items() if customer == REFUSED) == 1
    assert {day for customer, day in calls if customer != MANAGER} == {
        f"2024-02-0{n}" for n in range(1, 6)
    }, "the time zones come from the manager"
    assert ads.log()["headers"][0]["login-customer-id"] == MANAGER
    rows = rows_of(tmp_path / "data/all/campaign.csv")
    assert Counter((row["customer_id"], row["segments.date"]) for row in rows) == {
        (customer, f"2024-02-0{n}"): 3
        for customer in FETCHED
        for n in range(1, 6)
        if customer != REFUSED and (customer, n) != (FAILING, 3)
    }
    assert rows[0]["campaign.name"] == 'Line one\nline "two", 🎈 0'
    assert result.json["files"] == [str(tmp_path / "data/all/campaign.csv")]


def test_a_second_run_fetches_only_what_failed_and_then_nothing(agency, ads):
    ads.behave(FAILURE, clients=clients())
    agency("fetch", FIRST, LAST, "--manager", MANAGER, *NO_LOOKBACK)
    ads.behave(clients=clients())
    arguments = ["fetch", FIRST, LAST, "--manager", MANAGER, *NO_LOOKBACK]
    assert agency(*arguments).code == 0
    assert ads.log()["calls"] == [[MANAGER, None], [FAILING, "2024-02-03"]]
    again = agency(*arguments)
    assert (again.code, again.json["days_asked"], again.json["file_written"]) == (0, 0, False)
    assert len(ads.log()["calls"]) == 3


def test_the_newest_days_of_all_accounts_come_first(agency, ads):
    names = [option for each in IDS[:3] for option in ("--customer-id", each)]
    agency("fetch", FIRST, LAST, *names, *NO_LOOKBACK, "--workers", "1")
    calls = [tuple(call) for call in ads.log()["calls"] if call[1]]
    days = [str(date(2024, 2, 5) - timedelta(n)) for n in range(5)]
    assert calls == [(each, day) for day in days for each in IDS[:3]]


def test_a_file_of_customers_has_comments_and_names_its_wrong_lines(agency, ads, tmp_path):
    file = tmp_path / "customers.txt"
    file.write_text(f"# ours\n{IDS[0]}  # a shop\n\n100-000-0003\n{IDS[0]}\n")
    assert agency("fetch", FIRST, FIRST, "--customers", str(file), *NO_LOOKBACK).code == 0
    assert sorted(customer for customer, day in ads.log()["calls"] if day) == [IDS[0], IDS[3]]
    file.write_text(f"{IDS[0]}\n12345\n")
    wrong = agency("fetch", FIRST, FIRST, "--customers", str(file), *NO_LOOKBACK)
    assert wrong.code == 2
    assert "customers.txt, line 2: '12345' is not a customer id" in wrong.err
    file.write_text("# nobody\n")
    assert "names no customer" in agency("fetch", FIRST, FIRST, "--customers", str(file)).err


def test_one_folder_cannot_hold_several_accounts(agency):
    names = ["--customer-id", IDS[0], "--customer-id", IDS[1]]
    result = agency("fetch", FIRST, FIRST, *names, "--dataset", "mine")
    assert result.code == 2
    assert "there are 2 accounts" in result.err


def test_a_budget_that_runs_out_is_continued_on_the_next_days(agency, ads, tmp_path):
    ads.behave(clients=clients())
    arguments = ["fetch", FIRST, LAST, "--manager", MANAGER, "--lookback", "0"]
    plan = agency(*arguments, "--today", "2024-03-01", "--daily-operations", "15", "--dry-run")
    assert plan.json["operations_by_day"] == [14, 15, 6]
    ends = []
    for number, today in enumerate(("2024-03-01", "2024-03-04", "2024-03-07")):
        options = [] if number else ["--daily-operations", "15"]
        before = len(ads.log()["calls"])
        result = agency(*arguments, "--today", today, *options)
        assert len(ads.log()["calls"]) - before <= 15
        ends.append((result.code, result.json["days_fetched"], result.json["days_not_tried"]))
    assert ends[0] == (4, 13, 22)  # one operation was for the clients, one for those of the plan
    assert ends[1] == (4, 14, 8)
    assert ends[2] == (0, 8, 0)
    fetched = [tuple(call) for call in ads.log()["calls"] if call[1]]
    assert len(fetched) == len(set(fetched)) == 35
    assert len(rows_of(tmp_path / "data/all/campaign.csv")) == 35 * 3


def test_a_spent_budget_says_what_is_left_and_when_it_is_complete(agency, ads):
    ads.behave(clients=clients())
    arguments = ["fetch", FIRST, LAST, "--manager", MANAGER, *NO_LOOKBACK]
    result = agency(*arguments, "--daily-operations", "10")
    assert result.code == 4
    assert "the budget of 10 operations in 24 hours is spent" in result.err
    assert "(26 days not tried)" in result.err
    assert "repeated each day, it is complete on 2024-03-04" in result.err
    assert result.json["complete_on"] == "2024-03-04"
    assert (result.json["operations_limit"], result.json["operations_left"]) == (10, 0)


def test_update_alone_is_the_daily_run_of_every_dataset(agency, ads, run, tmp_path):
    ads.behave(clients=clients())
    agency("fetch", FIRST, LAST, "--manager", MANAGER, *NO_LOOKBACK)
    source = ["--source", "adsfetch.example:fetch_data", "--out", "data"]
    run("fetch", FIRST, LAST, *source, *NO_LOOKBACK, env=ads.environment)
    ads.behave()
    result = run("update", "--out", "data", "--today", "2024-02-07", "--json", env=ads.environment)
    assert result.code == 0, result.err
    days = Counter(day for _, day in ads.log()["calls"])
    assert days == {"2024-02-06": 7, "2024-02-07": 7}
    groups = result.json["runs"]
    assert sorted(len(each.get("datasets", [1])) for each in groups) == [1, 7]
    assert (tmp_path / "data/fetch_data/days/2024-02-06.csv").exists()


def test_a_limit_of_calls_of_one_account_delays_no_other(agency, ads):
    limit = {"do": "quota", "customer": IDS[0], "scope": "ACCOUNT", "retry_delay": 1.0}
    ads.behave(limit)
    names = [option for each in IDS[:4] for option in ("--customer-id", each)]
    result = agency("fetch", FIRST, LAST, *names, *NO_LOOKBACK, "--workers", "2")
    assert result.code == 0
    assert result.json["throttled_seconds"] == 0
    assert result.json["retries"] == {"rate limit": 1}


def test_refetch_asks_for_final_days_again(agency, ads):
    arguments = ["fetch", FIRST, LAST, "--customer-id", IDS[0], *NO_LOOKBACK]
    agency(*arguments)
    ads.behave(clicks=9)
    assert agency(*arguments).json["days_asked"] == 0
    again = agency(*arguments, "--refetch")
    assert (again.code, again.json["days_fetched"]) == (0, 5)


def test_accounts_that_a_spent_budget_left_are_not_called_complete(run, ads):
    ads.behave(clients=clients())
    config = ["--config", str(ads.config), "--out", "data", "--daily-operations", "10"]
    days = ["fetch", FIRST, LAST, "--manager", MANAGER, "--today", "2024-03-01", "--lookback", "28"]
    result = run(*days, *config, env=ads.environment)
    assert result.code == 4
    assert "datasets: 0 complete, 7 not" in result.out
    assert "all 10 operations of a day; raise --daily-operations, or lower" in result.err


def test_a_manager_without_clients_is_named_beside_other_accounts(agency, ads):
    ads.behave(clients=[{"id": CLOSED, "status": "CANCELED"}])
    options = [FIRST, FIRST, "--manager", MANAGER, *NO_LOOKBACK]
    assert agency("fetch", *options).code == 2
    result = agency("fetch", *options, "--customer-id", IDS[0])
    assert result.code == 0
    assert f"the manager {MANAGER} has no enabled clients" in result.err
