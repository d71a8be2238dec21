"""Wrong options and arguments."""

import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

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


ZONES = ("Pacific/Kiritimati", "Pacific/Pago_Pago")


@pytest.mark.parametrize("zone", ZONES)
def test_words_for_days_are_those_of_the_account_also_in_the_check_of_the_range(run, zone):
    """One of the two accounts has another date than this machine, at any time of the day."""
    today = str(datetime.now(ZoneInfo(zone)).date())
    result = run("fetch", today, "today", *EXAMPLE, "--time-zone", zone)
    assert result.code == 0, result.err
    wrong = run("fetch", "today", "yesterday", *EXAMPLE, "--time-zone", zone)
    assert wrong.code == 2
    assert "before it starts" in wrong.err


def test_days_that_are_too_old_for_the_source_are_not_asked_for_and_no_failure(run, shop):
    reach = ("--earliest-days", "5", "--today", "2024-03-31", "--json")
    result = run("fetch", "2024-03-01", "2024-03-31", *shop.options, *reach)
    assert result.code == 0, result.err
    assert sorted(shop.calls) == [f"2024-03-{day}" for day in range(26, 32)]
    again = run("update", *shop.options, "--today", "2024-03-31", "--json", "--lookback", "3")
    assert again.code == 0, again.err
    assert min(shop.calls) == "2024-03-26"


def test_a_current_folder_that_was_deleted_is_named(tmp_path):
    program = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from adsfetch.cli import main; main()"
    )
    arguments = ["update", *EXAMPLE]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "Error: the current folder was deleted: change to another one\n"


def test_a_missing_configuration_is_named(run):
    result = run("update", "--customer-id", "1234567890", "--out", "d", "--config", "none.yaml")
    assert result.code == 2
    assert "none.yaml" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("backfill", "--years", "nan"),
        ("backfill", "--years", "inf"),
        ("update", "--timeout", "nan"),
        ("update", "--timeout", "inf"),
        ("update", "--wait-max", "1e300"),
        ("update", "--lock-wait", "nan"),
        ("fetch", "yesterday", "yesterday", "--today", "0001-01-01"),
    ],
)
def test_a_number_or_a_day_that_cannot_be_used_is_wrong_usage(run, arguments):
    result = run(*arguments, *EXAMPLE)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_each_command_is_described_in_one_whole_line(run):
    lines = run("-h").out.partition("Commands:\n")[2].splitlines()
    assert len(lines) == 11
    assert not [line for line in lines if not line.endswith(".") or line.endswith("...")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [],
            "/google-ads.yaml: No such file or directory; name your google-ads.yaml with --config",
        ),
        (["--config", "no.yaml"], "cannot use no.yaml: No such file or directory"),
        (["--config", "ads.yaml", "--api-version", "v9"], "cannot use --api-version v9: "),
        (["--query", "no.gaql"], "cannot read the query no.gaql: No such file or directory"),
        (
            ["--customers", "no.txt"],
            "cannot read the customers in no.txt: No such file or directory",
        ),
    ],
)
def test_a_wrong_setting_of_google_ads_is_named(run, ads, tmp_path, options, message):
    (tmp_path / "ads.yaml").write_text(ads.config.read_text())
    account = ["--customer-id", "1234567890", "--out", "data"]
    home = {**ads.environment, "HOME": str(tmp_path)}
    home.pop("GOOGLE_ADS_CONFIGURATION_FILE_PATH", None)
    days = ("2024-02-27", "2024-02-27", "--today", "2024-03-05")
    result = run("fetch", *days, *account, *options, env=home)
    assert result.code == 2
    assert message in result.err
