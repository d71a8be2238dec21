"""The real Google Ads client meets a server that misbehaves: one test for each kind of trouble."""

import csv
import json
import socket
from pathlib import Path

import pytest

FETCH = ("fetch", "2024-01-01", "2024-01-03")


def days_in(folder: Path) -> list[str]:
    """The days of the aggregate, each as often as it has rows."""
    with (folder / "data/1234567890-campaign/all.csv").open(newline="") as lines:
        return [row["segments.date"] for row in csv.DictReader(lines)]


def test_a_polite_server_is_asked_once_for_each_day(google, ads, tmp_path):
    answer = google(*FETCH)
    assert answer.code == 0, answer.err
    assert days_in(tmp_path) == ["2024-01-01"] * 3 + ["2024-01-02"] * 3 + ["2024-01-03"] * 3
    assert sorted(ads.log()["days"]) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert ads.log()["tokens"] == 1


@pytest.mark.parametrize(
    ("trouble", "cause"),
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
def test_trouble_that_passes_costs_one_more_try_and_no_row(google, ads, tmp_path, trouble, cause):
    ads.behave({"do": trouble, "day": "2024-01-02"})
    answer = google(*FETCH)
    assert answer.code == 0, answer.err
    assert answer.json["retries"] == {cause: 1}
    assert sorted(ads.log()["days"]).count("2024-01-02") == 2
    assert len(days_in(tmp_path)) == 9


def test_a_server_that_always_fails_one_day_costs_that_day_alone(google, ads, tmp_path):
    ads.behave({"do": "internal", "day": "2024-01-02", "times": 99})
    answer = google(*FETCH, "--attempts", "3")
    assert answer.code == 1
    assert [failure["day"] for failure in answer.json["failed"]] == ["2024-01-02"]
    assert ads.log()["days"].count("2024-01-02") == 3
    assert set(days_in(tmp_path)) == {"2024-01-01", "2024-01-03"}


def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(google, ads, tmp_path):
    ads.behave({"do": "quota", "day": "2024-01-02", "retry_delay": 1.5})
    answer = google(*FETCH)
    assert answer.code == 0, answer.err
    assert answer.json["retries"] == {"rate limit": 1}
    assert answer.json["wall_seconds"] > answer.json["throttled_seconds"] >= 1.4
    assert len(days_in(tmp_path)) == 9


def test_all_workers_wait_together_and_fewer_work_after_it(google, ads):
    quota = {"do": "quota", "retry_delay": 0.5, "after": 3}
    ads.behave(quota, latency=0.05)
    answer = google("fetch", "2024-01-01", "2024-01-31", "--workers", "8")
    assert answer.code == 0, answer.err
    assert answer.json["retries"]["rate limit"] == 1
    assert ads.log()["served"] == 31


def test_a_delay_of_hours_ends_the_run_with_4_and_the_next_run_goes_on(google, ads, tmp_path):
    exhausted = {"code": "RESOURCE_EXHAUSTED", "retry_delay": 7200, "times": 999}
    ads.behave({"do": "quota", "after": 8, **exhausted}, latency=0.05)
    answer = google("fetch", "2024-01-01", "2024-01-31", "--workers", "4", timeout=15)
    assert answer.code == 4
    assert "2.0 hours" in answer.json["stopped"]
    assert answer.json["wall_seconds"] < 5
    assert len(ads.log()["days"]) <= 8 + 4
    saved = answer.json["days_fetched"]
    assert len(set(days_in(tmp_path))) == saved > 0
    ads.behave()
    assert google("fetch", "2024-01-01", "2024-01-31").code == 0
    assert len(ads.log()["days"]) == 31 - saved


def test_a_quota_without_a_delay_that_never_opens_ends_the_run_with_4(google, ads):
    ads.behave({"do": "quota", "times": 9999})
    answer = google(*FETCH, "--attempts", "2")
    assert answer.code == 4
    assert len(ads.log()["days"]) <= 4 * 3


def test_a_stream_that_hangs_is_cut_and_asked_again_with_more_time(google, ads, tmp_path):
    ads.behave({"do": "hang", "day": "2024-01-02"})
    answer = google(*FETCH, "--timeout", "1.5")
    assert answer.code == 0, answer.err
    assert answer.json["retries"] == {"timeout": 1}
    assert len(days_in(tmp_path)) == 9


def test_a_token_that_expires_under_sixteen_workers_is_renewed_once(google, ads):
    ads.behave({"do": "expire_now", "after": 5}, latency=0.2)
    answer = google("fetch", "2024-01-01", "2024-01-31", "--workers", "16")
    assert answer.code == 0, answer.err
    assert answer.json["retries"].keys() == {"token"}
    assert answer.json["retries"]["token"] >= 2
    assert ads.log()["tokens"] == 2


def test_a_token_that_is_always_refused_ends_in_bounded_tries(google, ads):
    ads.behave({"do": "bare_401", "times": 9999})
    answer = google(*FETCH, "--attempts", "3")
    assert answer.code == 3
    assert ads.log()["tokens"] <= 1 + 3 * 3


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        ("permission", 3, "--login-customer-id"),
        ("not_ads_user", 3, "NOT_ADS_USER"),
        ("query", 2, "UNRECOGNIZED_FIELD"),
    ],
)
def test_what_every_day_would_meet_ends_the_run_at_once(google, ads, trouble, code, words):
    ads.behave({"do": trouble, "times": 9999}, latency=0.1)
    answer = google("fetch", "2024-01-01", "2024-01-31", "--workers", "4")
    assert answer.code == code
    assert words in answer.json["stopped"]
    assert len(ads.log()["days"]) <= 8


def test_a_day_that_is_out_of_reach_is_given_up_without_another_try(google, ads, tmp_path):
    ads.behave({"do": "too_old", "day": "2024-01-01", "times": 99})
    answer = google(*FETCH)
    assert answer.code == 1
    assert "INVALID_DATE" in answer.json["failed"][0]["reason"]
    assert ads.log()["days"].count("2024-01-01") == 1
    assert len(days_in(tmp_path)) == 6


def test_a_grant_that_is_revoked_before_the_start_names_cause_and_cure(google, ads):
    ads.behave({"do": "invalid_grant", "on": "token", "times": 999})
    answer = google(*FETCH)
    assert answer.code == 3
    assert "invalid_grant" in answer.err
    assert "make a new refresh token" in answer.err
    assert ads.log()["tokens"] == 1


def test_a_grant_that_is_revoked_in_mid_run_ends_it_and_does_not_storm_the_endpoint(google, ads):
    revoked = {"do": "invalid_grant", "on": "token", "times": 999, "after": 1}
    late = {"do": "expired", "times": 999, "after": 20}
    ads.behave(revoked, late, latency=0.05)
    answer = google("fetch", "2024-01-01", "2024-01-31", timeout=20)
    assert answer.code == 3
    assert "invalid_grant" in answer.json["stopped"]
    assert answer.json["days_fetched"] >= 1
    assert ads.log()["tokens"] == 2


def test_a_revoked_grant_behind_a_token_that_ran_out_by_itself_ends_the_run_too(google, ads):
    revoked = {"do": "invalid_grant", "on": "token", "times": 999, "after": 4}
    ads.behave(revoked, expires_in=1)
    answer = google("fetch", "2024-01-01", "2024-01-31", timeout=20)
    assert answer.code == 3
    assert "invalid_grant" in answer.json["stopped"]
    assert ads.log()["tokens"] == 5


def test_a_token_endpoint_that_is_down_for_a_while_is_asked_again(google, ads, tmp_path):
    ads.behave({"do": "token_503", "on": "token", "times": 3})
    answer = google(*FETCH)
    assert answer.code == 0, answer.err
    assert len(days_in(tmp_path)) == 9


def test_a_token_endpoint_that_cannot_be_reached_is_not_taken_for_a_revoked_grant(
    run, ads, tmp_path
):
    account = json.loads((ads.folder / "account.json").read_text())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        account["token_uri"] = f"http://127.0.0.1:{closed.getsockname()[1]}/token"
        (tmp_path / "account.json").write_text(json.dumps(account))
        config = ads.config.read_text().replace(str(ads.folder), str(tmp_path))
        (tmp_path / "google-ads.yaml").write_text(config)
        words = ["--customer-id", "1234567890", "--config", "google-ads.yaml", "--out", "data"]
        hurry = ["--attempts", "2", "--wait-initial", "0.01"]
        answer = run(*FETCH, *words, *hurry, env=ads.environment)
    assert answer.code == 1
    assert "cannot get an access token" in answer.err
    assert "revoked" not in answer.err
