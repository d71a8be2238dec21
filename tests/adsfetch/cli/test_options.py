"""Wrong options and arguments."""

import pytest

EXAMPLE = ("--source", "adsfetch.example:fetch_data", "--out", "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "2024-03-04", "2024-02-27", *EXAMPLE], "before it starts"),
        (["fetch", "03/04/2024", "2024-04-27", *EXAMPLE], "2024-04-03 or 2024-03-04"),
        (["fetch", "2024-02-30", "2024-03-01", *EXAMPLE], "2024-02-30"),
        (["fetch", "2024-03-01", "2024-03-01", "--out", "data"], "name a source"),
        (["fetch", "2024-03-01", "2024-03-01", "--out", "d", "--source", "x"], "module:function"),
        (["fetch", "2024-03-01", "2024-03-01", "--out", "d", "--source", "nope:f"], "nope"),
        (["fetch", "2024-03-01", "2024-03-01", "--out", "d", "--source", "os:nope"], "nope"),
        (["fetch", "2024-03-01", "2024-03-01", "--out", "d", "--source", "os:sep"], "called"),
        (["update", *EXAMPLE, "--customer-id", "1234567890"], "for Google Ads"),
        (["update", "--customer-id", "12", "--out", "data"], "ten digits"),
        (["update", "--customer-id", "1234567890", "--query", "no.gaql", "--out", "d"], "no.gaql"),
        (["update", *EXAMPLE, "--dataset", "../up"], "name of a dataset"),
        (["update", *EXAMPLE, "--time-zone", "Mars/Base"], "Mars/Base"),
        (["update", *EXAMPLE, "--workers", "0"], "--workers"),
        (["status", "--out", "nowhere"], "fetch something first"),
        (["verify", "--out", "nowhere"], "fetch something first"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_clear_sentence(run, tmp_path, arguments, message):
    result = run(*arguments)
    assert result.code == 2
    assert message in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert result.out == ""


def test_a_missing_configuration_is_named(run):
    result = run("update", "--customer-id", "1234567890", "--out", "d", "--config", "none.yaml")
    assert result.code == 2
    assert "none.yaml" in result.err
