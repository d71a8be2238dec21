"""A query split into clauses, and the query for one day."""

from datetime import date

import pytest

from adsfetch import UsageError
from adsfetch.google import report

DAY = date(2024, 2, 29)


def test_the_day_precedes_other_conditions_and_the_order_of_clauses_stays():
    query = (
        "select segments.date, campaign.id from campaign "
        "where campaign.name = 'from a WHERE b' order by campaign.id limit 5;"
    )
    assert report.parse("q", query).gaql_for(DAY) == (
        "SELECT segments.date, campaign.id FROM campaign WHERE segments.date = '2024-02-29' "
        "AND campaign.name = 'from a WHERE b' ORDER BY campaign.id LIMIT 5"
    )


def test_a_query_that_does_not_select_the_day_gets_it():
    assert report.parse("q", "SELECT campaign.id FROM campaign").fields == (
        "segments.date",
        "campaign.id",
    )


def test_white_space_does_not_change_the_fingerprint():
    one = report.parse("q", "SELECT campaign.id\n  FROM campaign\n")
    other = report.parse("q", "SELECT campaign.id FROM campaign")
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != report.parse("q", "SELECT campaign.name FROM campaign").fingerprint


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELECT campaign.id",
        "SELECT campaign.id FROM campaign WHERE segments.date DURING LAST_7_DAYS",
        "SELECT campaign FROM campaign",
        "SELECT campaign.id, campaign.id FROM campaign",
        "SELECT campaign.id, FROM campaign",
    ],
)
def test_a_query_that_cannot_be_fetched_by_day_is_rejected(query):
    with pytest.raises(UsageError):
        report.parse("q", query)


def test_the_default_query_is_valid():
    assert "metrics.cost_micros" in report.load(None).fields


def test_the_query_for_a_range_returns_the_rows_of_each_day_without_their_attributes():
    query = (
        "SELECT campaign.id, campaign.name, customer.id, campaign_budget.name, segments.device, "
        "metrics.clicks, metrics.ctr FROM campaign WHERE campaign.id IN (5, 6) "
        "ORDER BY campaign.name PARAMETERS include_drafts=true"
    )
    assert report.parse("q", query).gaql_between(DAY, date(2024, 3, 1)) == (
        "SELECT segments.date, campaign_budget.name, segments.device, metrics.clicks, metrics.ctr "
        "FROM campaign WHERE segments.date BETWEEN '2024-02-29' AND '2024-03-01' "
        "AND campaign.id IN (5, 6) PARAMETERS include_drafts=true"
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT campaign.id FROM campaign ORDER BY campaign.id LIMIT 5", "has a LIMIT"),
        ("SELECT click_view.gclid FROM click_view", "only be asked for single days"),
    ],
)
def test_a_query_whose_days_are_not_parts_of_a_range_is_rejected(query, reason):
    with pytest.raises(UsageError, match=reason):
        report.parse("q", query).gaql_between(DAY, DAY)


def test_conditions_on_attributes_can_change_for_past_days():
    query = (
        "SELECT metrics.clicks FROM campaign WHERE campaign.status = 'ENABLED' AND campaign.id = 5 "
        "AND segments.device = 'a.b' AND metrics.clicks > 5 AND campaign.name != 'x.y'"
    )
    assert report.parse("q", query).changing_conditions == ("campaign.status", "campaign.name")
    assert report.load(None).changing_conditions == ()
