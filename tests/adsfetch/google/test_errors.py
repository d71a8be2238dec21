"""The real Google Ads client and a server that fails: one test for each kind of failure."""

import pytest

from tests.adsfetch.google.datasets import FETCH, days_in


def test_without_failures_each_day_is_one_call(google, ads, tmp_path):
    result = google(*FETCH)
    assert result.code == 0, result.err
    assert days_in(tmp_path) == ["2024-01-01"] * 3 + ["2024-01-02"] * 3 + ["2024-01-03"] * 3
    assert sorted(ads.log()["days"]) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert ads.log()["tokens"] == 1


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        ("internal", "transient"),
        ("unavailable", "transient"),
        ("stream_removed", "transient"),
        ("break", "transient"),
        ("deadline", "timeout"),
        ("deadline_internal", "transient"),
        ("bare_401", "token"),
        ("expired", "token"),
    ],
)
def test_a_temporary_failure_costs_one_retry_and_no_row(google, ads, tmp_path, failure, cause):
    ads.behave({"do": failure, "day": "2024-01-02"})
    result = google(*FETCH)
    assert result.code == 0, result.err
    assert result.json["retries"] == {cause: 1}
    assert sorted(ads.log()["days"]).count("2024-01-02") == 2
    assert len(days_in(tmp_path)) == 9


def test_a_permanent_failure_of_one_day_fails_that_day_alone(google, ads, tmp_path):
    ads.behave({"do": "internal", "day": "2024-01-02", "times": 99})
    result = google(*FETCH, "--attempts", "3")
    assert result.code == 1
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-02"]
    assert ads.log()["days"].count("2024-01-02") == 3
    assert set(days_in(tmp_path)) == {"2024-01-01", "2024-01-03"}


def test_a_rate_limit_pauses_as_long_as_the_server_asks(google, ads, tmp_path):
    ads.behave({"do": "quota", "day": "2024-01-02", "retry_delay": 1.5})
    result = google(*FETCH)
    assert result.code == 0, result.err
    assert result.json["retries"] == {"rate limit": 1}
    assert result.json["wall_seconds"] > result.json["throttled_seconds"] >= 1.4
    assert len(days_in(tmp_path)) == 9


def test_a_rate_limit_pauses_all_workers_and_costs_one_retry(google, ads):
    quota = {"do": "quota", "retry_delay": 0.5, "after": 3}
    ads.behave(quota, latency=0.05)
    result = google("fetch", "2024-01-01", "2024-01-31", "--workers", "8")
    assert result.code == 0, result.err
    assert result.json["retries"]["rate limit"] == 1
    assert ads.log()["served"] == 31


def test_a_delay_of_hours_ends_the_run_with_4_and_the_next_run_continues(google, ads, tmp_path):
    exhausted = {"code": "RESOURCE_EXHAUSTED", "retry_delay": 7200, "times": 999}
    ads.behave({"do": "quota", "after": 8, **exhausted}, latency=0.05)
    result = google("fetch", "2024-01-01", "2024-01-31", "--workers", "4", timeout=15)
    assert result.code == 4
    assert "2.0 hours" in result.json["stopped"]
    assert result.json["wall_seconds"] < 5
    assert len(ads.log()["days"]) <= 8 + 4
    saved = result.json["days_fetched"]
    assert len(set(days_in(tmp_path))) == saved > 0
    ads.behave()
    assert google("fetch", "2024-01-01", "2024-01-31").code == 0
    assert len(ads.log()["days"]) == 31 - saved


def test_a_quota_that_stays_used_up_ends_the_run_with_4(google, ads):
    ads.behave({"do": "quota", "times": 9999})
    result = google(*FETCH, "--attempts", "2")
    assert result.code == 4
    assert len(ads.log()["days"]) <= 4 * 3


def test_a_hanging_stream_is_cancelled_and_retried_with_more_time(google, ads, tmp_path):
    ads.behave({"do": "hang", "day": "2024-01-02"})
    result = google(*FETCH, "--timeout", "1.5")
    assert result.code == 0, result.err
    assert result.json["retries"] == {"timeout": 1}
    assert len(days_in(tmp_path)) == 9


@pytest.mark.parametrize(
    ("failure", "code", "arguments"),
    [
        ("permission", 3, "--login-customer-id"),
        ("not_ads_user", 3, "NOT_ADS_USER"),
        ("query", 2, "UNRECOGNIZED_FIELD"),
    ],
)
def test_a_fatal_error_ends_the_run_at_once(google, ads, failure, code, arguments):
    ads.behave({"do": failure, "times": 9999}, latency=0.1)
    result = google("fetch", "2024-01-01", "2024-01-31", "--workers", "4")
    assert result.code == code
    assert arguments in result.json["stopped"]
    assert len(ads.log()["days"]) <= 8


def test_a_day_that_is_not_available_fails_without_a_retry(google, ads, tmp_path):
    ads.behave({"do": "too_old", "day": "2024-01-01", "times": 99})
    result = google(*FETCH)
    assert result.code == 1
    assert "INVALID_DATE" in result.json["failed"][0]["reason"]
    assert ads.log()["days"].count("2024-01-01") == 1
    assert len(days_in(tmp_path)) == 6
