"""Sums over groups of rows: exact, complete, and only of what adds up."""

import csv

import pytest

from adsfetch.errors import UsageError
from adsfetch.export.groups import Groups
from adsfetch.sources import Batch
from tests.adsfetch.export.exports import make_dataset

DAYS = {
    "2023-12-31": [{"campaign": 9, "clicks": 1, "cost": "0.1"}],
    "2024-01-01": [
        {"campaign": 10, "clicks": 2, "cost": "0.2"},
        {"campaign": 9, "clicks": "", "cost": "0.70"},
    ],
    "2024-01-02": [],
    "2024-02-29": [{"campaign": 10, "clicks": 4, "cost": "1e-3"}],
}


def lines_of(store, *by):
    return [",".join(line) for line in csv.reader(Groups(store, by).as_csv().splitlines())]


@pytest.fixture
def store(tmp_path):
    return make_dataset(tmp_path / "data", DAYS)


def test_sums_are_exact_and_the_last_line_is_their_total(store):
    assert lines_of(store, "month") == [
        "month,campaign,clicks,cost",
        "2023-12,9,1,0.1",
        "2024-01,19,2,0.9",
        "2024-02,10,4,0.001",
        "total,38,7,1.001",
    ]


def test_groups_are_in_order_of_their_keys_and_numbers_of_their_size(store):
    assert lines_of(store, "campaign", "month") == [
        "campaign,month,clicks,cost",
        "9,2023-12,1,0.1",
        "9,2024-01,,0.7",
        "10,2024-01,2,0.2",
        "10,2024-02,4,0.001",
        "total,,7,1.001",
    ]


def test_a_week_is_named_by_its_monday(store):
    assert [line.partition(",")[0] for line in lines_of(store, "week")[1:-1]] == [
        "2023-12-25",
        "2024-01-01",
        "2024-02-26",
    ]


def test_a_column_of_the_name_of_a_period_is_that_column(tmp_path):
    rows = [{"month": "spring", "clicks": 1}, {"month": "spring", "clicks": 2}]
    store = make_dataset(tmp_path / "data", {"2024-02-29": rows})
    assert lines_of(store, "month") == ["month,clicks", "spring,3", "total,3"]


def test_an_unknown_column_is_refused_with_those_that_there_are(store):
    with pytest.raises(UsageError, match="there are week, month, date, campaign, clicks, cost"):
        Groups(store, ["campaign.id"])


def test_metrics_that_add_up_are_summed_and_other_columns_of_google_are_not(tmp_path):
    names = (
        "segments.date", "campaign.id", "campaign_budget.amount_micros", "campaign_budget.amount",
        "metrics.cost_micros", "metrics.cost", "metrics.ctr", "metrics.average_cpc",
        "metrics.unique_users", "metrics.conversions",
    )  # fmt: skip
    columns = [
        ["2024-02-29"] * 2, ["1", "2"], ["5", "6"], ["0.000005", "0.000006"], ["1500000", "1"],
        ["1.500000", "0.000001"], ["0.5", "0.1"], ["3", "4"], ["7", "8"], ["0.1", "0.2"],
    ]  # fmt: skip
    store = make_dataset(tmp_path / "data", {"2024-02-29": [Batch(names, columns)]})
    groups = Groups(store, ["month"])
    assert groups.total == {
        "metrics.cost_micros": "1500001",
        "metrics.cost": "1.500001",
        "metrics.conversions": "0.3",
    }
    assert groups.not_additive == ["metrics.ctr", "metrics.average_cpc", "metrics.unique_users"]


def test_a_column_with_numbers_and_texts_has_no_sum_and_is_named(tmp_path):
    days = {
        "2024-02-01": [{"name": "a", "clicks": 1, "cost": 5}],
        "2024-02-02": [{"name": "b", "clicks": "n/a", "cost": 6}],
    }
    groups = Groups(make_dataset(tmp_path / "data", days), ["name"])
    assert groups.names == ["cost"]
    assert groups.mixed == {"clicks"}


def test_a_dataset_without_rows_has_a_total_of_nothing(tmp_path):
    store = make_dataset(tmp_path / "data", {"2024-02-29": []})
    assert lines_of(store, "month") == ["month", "total"]
