"""Access tokens: renewed once, refused, revoked, or not available."""

import json
import socket

from adsserver.token_proxy import token_proxy

from tests.adsfetch.google.datasets import FETCH, days_in


def test_a_token_that_expires_for_sixteen_workers_is_renewed_once(google, ads):
    ads.behave({"do": "expire_now", "after": 5}, together=(1, 16))
    result = google("fetch", "2024-01-01", "2024-01-31", "--workers", "16")
    assert result.code == 0, result.err
    assert result.json["retries"].keys() == {"token"}
    assert result.json["retries"]["token"] >= 16 - 5
    assert ads.log()["tokens"] == 2


def test_a_token_that_is_always_refused_has_bounded_tries(google, ads):
    ads.behave({"do": "bare_401", "times": 9999})
    result = google(*FETCH, "--attempts", "3")
    assert result.code == 3
    assert ads.log()["tokens"] <= 1 + 3 * 3


def test_a_grant_that_is_revoked_before_the_start_is_explained(google, ads):
    ads.behave({"do": "invalid_grant", "on": "token", "times": 999})
    result = google(*FETCH)
    assert result.code == 3
    assert "invalid_grant" in result.err
    assert "make a new refresh token" in result.err
    assert ads.log()["tokens"] == 1


def test_a_grant_that_is_revoked_during_a_run_ends_it_after_one_token_request(google, ads):
    revoked = {"do": "invalid_grant", "on": "token", "times": 999, "after": 1}
    late = {"do": "expired", "times": 999, "after": 20}
    ads.behave(revoked, late, latency=0.05)
    result = google("fetch", "2024-01-01", "2024-01-31")
    assert result.code == 3
    assert "invalid_grant" in result.json["stopped"]
    assert result.json["days_fetched"] >= 1
    assert ads.log()["tokens"] == 2


def test_a_revoked_grant_ends_the_run_when_the_token_has_expired(google, ads):
    revoked = {"do": "invalid_grant", "on": "token", "times": 999, "after": 4}
    ads.behave(revoked, expires_in=1)
    result = google("fetch", "2024-01-01", "2024-01-31")
    assert result.code == 3
    assert "invalid_grant" in result.json["stopped"]
    assert ads.log()["tokens"] == 5


def test_a_token_endpoint_that_is_down_for_a_while_is_retried(google, ads, tmp_path):
    ads.behave({"do": "token_503", "on": "token", "times": 3})
    result = google(*FETCH)
    assert result.code == 0, result.err
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
        arguments = ["--customer-id", "1234567890", "--config", "google-ads.yaml", "--out", "data"]
        waits = ["--attempts", "2", "--wait-initial", "0.01"]
        result = run(*FETCH, *arguments, *waits, env=ads.environment)
    assert result.code == 1
    assert "cannot get an access token" in result.err
    assert "revoked" not in result.err


def test_a_refresh_token_works_like_a_service_account(run, ads, tmp_path):
    endpoint = next(line for line in ads.config.read_text().splitlines() if "endpoint" in line)
    secrets = {"client_id": "an-id", "client_secret": "a-secret", "refresh_token": "a-grant"}
    lines = [endpoint, "developer_token: x", *(f"{k}: {v}" for k, v in secrets.items())]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    (tmp_path / "proxy").mkdir()
    with token_proxy(tmp_path / "proxy") as (environment, bodies):
        arguments = ["--customer-id", "1234567890", "--config", "mine.yaml", "--out", "data"]
        both = {**ads.environment, **environment}
        result = run(*FETCH, *arguments, env=both)
    assert result.code == 0, result.err
    assert len(bodies) == 1
    assert "refresh_token=a-grant" in bodies[0]
    assert ads.log()["headers"][0]["authorization"] == "Bearer from-the-proxy"
