"""Exact sums of columns, and which columns are summed."""

import pytest

from adsfetch.storage.sums import Sums, columns_to_sum, is_additive, sums_of_file, text_of_number


@pytest.mark.parametrize(
    "name",
    [
        "metrics.clicks",
        "metrics.cost_micros",
        "metrics.all_conversions_value_by_conversion_date",
        "metrics.search_volume",
        "metrics.impressions_from_store_reach",
        "metrics.video_trueview_views",
        "orders",
    ],
)
def test_counts_and_amounts_add_up(name):
    assert is_additive(name)


@pytest.mark.parametrize(
    "name",
    [
        "metrics.ctr",
        "metrics.average_cpc",
        "metrics.trueview_average_cpv",
        "metrics.search_impression_share",
        "metrics.cost_per_conversion",
        "metrics.unique_users_two_plus",
        "metrics.video_quartile_p25_rate",
        "metrics.active_view_viewability",
        "metrics.top_impression_percentage",
        "metrics.gross_profit_margin",
        "metrics.cost_micros_p_value",
        "metrics.linked_entities_count",
        "metrics.asset_pinned_as_headline_position_one_count",
        "Avg. CPC",
    ],
)
def test_ratios_estimates_distinct_users_and_stocks_do_not(name):
    assert not is_additive(name)


def test_of_google_ads_the_metrics_are_summed_and_each_amount_once():
    columns = ("segments.date", "customer.id", "metrics.clicks", "metrics.ctr")
    amounts = ("metrics.cost_micros", "metrics.cost", "metrics.conversions")
    assert columns_to_sum(columns + amounts) == (
        "metrics.clicks",
        "metrics.cost_micros",
        "metrics.conversions",
    )


def test_of_other_sources_all_columns_but_dates_and_ids_are_summed():
    columns = ("date", "shop_id", "id", "campaign.id", "hour", "orders", "revenue", "ctr", "note")
    assert columns_to_sum(columns) == ("orders", "revenue", "note")


def test_the_sum_of_doubles_does_not_depend_on_their_order():
    cells = ["0.1", "1e22", "0.2", "-1e22", "0.1", "1234567.000001"]
    assert sum(map(float, cells)) != sum(map(float, reversed(cells)))
    one, other = Sums(), Sums()
    one.add(["x"], [cells], len(cells))
    for cell in reversed(cells):
        other.add(["x"], [[cell]], 1)
    assert one.number("x") == other.number("x")
    assert text_of_number(one.number("x")) == "1234567.400001"


def test_a_blank_cell_is_no_number_and_a_text_has_no_sum(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text("date,a,b,c,d\n2024-01-01,1,,x,\n2024-01-01,,,2,NaN\n")
    sums = sums_of_file(path)
    assert sums.rows == 2
    assert {name: text_of_number(number) for name, number in sums.numbers.items()} == {"a": "1"}
    assert sums.number("b") is None
    assert Sums().number("b") == 0


@pytest.mark.parametrize(
    ("cells", "text"),
    [(["36150000"] * 2, "72300000"), (["1.5", "1.5"], "3"), (["1e2"], "100"), (["-0.50"], "-0.5")],
)
def test_a_number_is_written_without_exponent_and_trailing_zeros(cells, text):
    sums = Sums()
    sums.add(["x"], [cells], len(cells))
    assert text_of_number(sums.number("x")) == text
