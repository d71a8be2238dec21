"""The real Google Ads client and a server that fails: one test for each kind of failure."""

import pytest

from adsfetch import OAuthError, RateLimitError, TransientError
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
    result = google("fetch", "2024-01-01", "2024-01-31", "--workers", "4")
    assert result.code == 4
    assert "2.0 hours" in result.json["stopped"]
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
    result = google(*FETCH, "--timeout", "4")
    assert result.code == 0, result.err
    assert result.json["retries"].keys() == {"timeout"}
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


ODD_STATUSES = [
    ("ABORTED", "try again"),
    ("ALREADY_EXISTS", "it exists"),
    ("CANCELLED", "the server cancelled"),
    ("DATA_LOSS", "a corrupt block"),
    ("FAILED_PRECONDITION", "not in this state"),
    ("INTERNAL", "unexpected"),
    ("INVALID_ARGUMENT", "odd"),
    ("NOT_FOUND", "no such thing"),
    ("OUT_OF_RANGE", "past the end"),
    ("PERMISSION_DENIED", "the caller does not have permission"),
    ("RESOURCE_EXHAUSTED", "Received message larger than max (70000000 vs. 67108864)"),
    ("RESOURCE_EXHAUSTED", "out of memory"),
    ("UNAUTHENTICATED", "who is it?"),
    ("UNAVAILABLE", "away"),
    ("UNIMPLEMENTED", "GRPC target method can't be resolved"),
    ("UNKNOWN", "what?"),
]


@pytest.mark.parametrize(("status", "text"), ODD_STATUSES)
def test_a_status_of_one_day_costs_that_day_only(google, ads, tmp_path, status, text):
    rule = {"do": "status", "day": "2024-01-02", "times": 99, "status": status, "text": text}
    ads.behave(rule)
    result = google(*FETCH, "--attempts", "2")
    assert result.code == 1, result.err
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-02"]
    assert text in result.json["failed"][0]["reason"]
    assert result.json["throttled_seconds"] == 0
    assert set(days_in(tmp_path)) == {"2024-01-01", "2024-01-03"}


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("authorization_error", "USER_PERMISSION_DENIED", "PERMISSION_DENIED"),
        ("authentication_error", "NOT_ADS_USER", "UNAUTHENTICATED"),
        ("query_error", "BAD_VALUE", "INVALID_ARGUMENT"),
        ("size_limit_error", "RESPONSE_SIZE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"),
        ("resource_count_limit_exceeded_error", "RESPONSE_ROW_LIMIT_EXCEEDED", "INVALID_ARGUMENT"),
        ("date_range_error", "AFTER_MAXIMUM_ALLOWABLE_DATE", "INVALID_ARGUMENT"),
        ("query_error", "DATE_RANGE_TOO_WIDE", "INVALID_ARGUMENT"),
    ],
)
def test_a_refusal_of_one_day_is_not_believed_for_the_others(google, ads, kind, code, status):
    rule = {"do": "status", "day": "2024-01-02", "times": 99}
    ads.behave({**rule, "kind": kind, "code": code, "status": status})
    result = google(*FETCH)
    assert result.code == 1, result.err
    assert [failure["day"] for failure in result.json["failed"]] == ["2024-01-02"]
    assert code in result.json["failed"][0]["reason"]
    assert ads.log()["days"].count("2024-01-02") == 1


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        ("PERMISSION_DENIED", "the caller does not have permission", 3),
        ("UNAUTHENTICATED", "invalid credentials", 3),
        ("INVALID_ARGUMENT", "odd", 2),
        ("UNIMPLEMENTED", "GRPC target method can't be resolved", 2),
        ("UNKNOWN", "Version v26 is deprecated. Requests to this version are blocked.", 2),
        ("DATA_LOSS", "a corrupt block", 1),
        ("RESOURCE_EXHAUSTED", "out of memory", 1),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (70000000 vs. 67108864)", 1),
        ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", 4),
    ],
)
def test_a_status_of_every_day_ends_the_run_with_its_code(google, ads, status, text, code):
    ads.behave({"do": "status", "times": 9999, "status": status, "text": text})
    result = google(*FETCH, "--attempts", "2")
    assert result.code == code, result.json
    said = result.json["stopped"] or result.json["failed"][0]["reason"]
    assert text in said or code == 4
    assert len(ads.log()["days"]) <= 4 * 3


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("UNIMPLEMENTED", "GRPC target method can't be resolved"),
        ("UNKNOWN", "Version v26 is deprecated. Requests to this version are blocked."),
        ("INVALID_ARGUMENT", "Version v26 is no longer supported"),
    ],
)
def test_a_version_that_is_switched_off_is_named_with_the_cure(google, ads, status, text):
    ads.behave({"do": "status", "times": 9999, "status": status, "text": text})
    said = google(*FETCH, "--attempts", "2").json["stopped"]
    assert text in said
    assert "choose another --api-version, or upgrade the package google-ads" in said


def test_a_permission_that_is_lost_in_mid_run_ends_it_with_3_after_a_few_days(google, ads):
    ads.behave({"do": "permission", "after": 5, "times": 999})
    result = google("fetch", "2024-01-01", "2024-01-31", "--workers", "1")
    assert result.code == 3
    assert result.json["days_fetched"] == 5
    assert len(ads.log()["days"]) <= 5 + 3 + 1  # one begins before the third refusal is counted


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("date_range_error", "INVALID_DATE"),
        ("date_range_error", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED"),
        ("date_error", "EARLIER_THAN_MINIMUM_DATE"),
        ("click_view_error", "DATE_TOO_OLD"),
        ("change_event_error", "START_DATE_TOO_OLD"),
    ],
)
def test_a_day_that_google_no_longer_has_is_unavailable_and_no_failure(
    google, ads, tmp_path, kind, code
):
    rule = {"do": "status", "status": "INVALID_ARGUMENT", "kind": kind, "code": code}
    ads.behave({**rule, "day": "2024-01-01", "times": 99})
    result = google(*FETCH)
    assert result.code == 0, result.err
    assert (result.json["days_unavailable"], result.json["failed"]) == (1, [])
    assert ads.log()["days"].count("2024-01-01") == 1
    assert len(days_in(tmp_path)) == 6
    ads.behave()
    assert google(*FETCH).code == 0
    assert ads.log()["days"] == []


def test_what_the_authentication_library_raises_is_temporary_or_not():
    auth = pytest.importorskip("google.auth.exceptions")
    translate = pytest.importorskip("adsfetch.google.errors").translate
    for temporary in (
        auth.TransportError("no route"),
        auth.TimeoutError("slow"),
        auth.RefreshError("internal_failure", retryable=True),
    ):
        assert type(translate(temporary, "v26")) is TransientError
    for permanent in (
        auth.RefreshError("invalid_grant"),
        auth.ReauthFailError("again"),
        auth.DefaultCredentialsError("no file"),
        auth.UserAccessTokenError("no token"),
    ):
        assert type(translate(permanent, "v26")) is OAuthError


def test_a_rate_limit_without_a_quota_error_may_name_its_delay():
    api = pytest.importorskip("google.api_core.exceptions")
    retry_info = pytest.importorskip("google.rpc.error_details_pb2").RetryInfo()
    retry_info.retry_delay.FromMilliseconds(1500)
    translate = pytest.importorskip("adsfetch.google.errors").translate
    found = translate(api.ResourceExhausted("busy", details=[retry_info]), "v26")
    assert isinstance(found, RateLimitError)
    assert found.retry_after == 1.5
