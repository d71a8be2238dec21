"""Help texts, exit codes inside another group, and output that cannot be written."""

import fcntl
import os
import re
import subprocess
import sys
from datetime import date, timedelta
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from adsfetch.cli import ads as group
from tests.waiting import PATIENCE

EXAMPLE = ["--source", "adsfetch.example:fetch_data"]


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_has_help_with_an_example(name, option):
    result = CliRunner().invoke(group, [name, option])
    assert result.exit_code == 0
    assert f"adsfetch {name}" in result.output.partition("Examples:")[2]


@pytest.mark.parametrize("whole", [group, click.Group("shop", commands={"ads": group})])
def test_the_group_has_a_version_and_short_help_also_inside_another_group(whole):
    inside = [] if whole is group else ["ads"]
    shown = CliRunner().invoke(whole, [*inside, "--version"])
    assert (shown.exit_code, shown.output) == (0, f"adsfetch {version('bookstall')}\n")
    assert "Exit codes" in CliRunner().invoke(whole, [*inside, "-h"]).output
    assert "--lookback" in CliRunner().invoke(whole, [*inside, "update", "-h"]).output


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_has_the_version(name):
    shown = CliRunner().invoke(group, [name, "--version"])
    assert (shown.exit_code, shown.output) == (0, f"adsfetch {version('bookstall')}\n")


WEEK = ("fetch", "2024-01-01", "2024-01-07")


def test_the_result_goes_to_standard_output_and_what_is_wrong_to_standard_error(run, shop):
    shop.configure(fail=["2024-01-03"])
    once = ("--attempts", "1")
    result = run(*WEEK, *shop.options, *once)
    assert result.code == 1
    assert result.err == "failed 2024-01-03: ConnectionError: the source is down (tries: 1)\n"
    lines = result.out.splitlines()
    assert lines[0] == "fetch_data: 2024-01-01 to 2024-01-07, 6 of 7 days fetched, 6 rows"
    assert lines[-1] == f"{shop.data / 'all.csv'}: written, 6 days, 6 rows"
    again = run(*WEEK, *shop.options, *once)
    assert again.out.splitlines()[0].endswith(
        ", 0 of 1 days fetched, 0 rows; 6 days were final already"
    )
    assert again.out.splitlines()[-1] == f"{shop.data / 'all.csv'}: unchanged, 6 days, 6 rows"
    as_json = run(*WEEK, *shop.options, *once, "--json")
    assert as_json.json["days_held"] == 6
    assert as_json.json["file"] == str(shop.data / "all.csv")
    assert as_json.err == result.err


def test_letters_that_standard_output_does_not_have_are_escaped(run_program, tmp_path):
    (tmp_path / "odd.py").write_text("def fetch_data(day): raise ValueError('Müller 🎈')\n")
    odd = (*WEEK, "--source", "odd:fetch_data", "--out", "data", "--attempts", "1")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "iso8859-5"}
    as_json = run_program(*odd, "--dataset", "Müller", "--json", env=env)
    assert as_json.code == 1
    assert as_json.json["dataset"] == "Müller"
    assert as_json.json["failed"][0]["reason"] == "ValueError: Müller 🎈"
    as_text = run_program(*odd, "--dataset", "Müller", env=env)
    assert as_text.code == 1
    assert as_text.out.startswith("M\\xfcller: 2024-01-01 to 2024-01-07")


def test_quiet_prints_only_what_is_wrong(run, shop):
    nothing_wrong = run(*WEEK, "--quiet", *shop.options, "--today", "2024-01-05")
    assert (nothing_wrong.code, nothing_wrong.out, nothing_wrong.err) == (0, "", "")
    shop.configure(fail=["2024-01-06"])
    failed = run(*WEEK, "--quiet", *shop.options, "--attempts", "1", "--lookback", "0")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == "failed 2024-01-06: ConnectionError: the source is down (tries: 1)\n"
    wrong = run(*WEEK, "--quiet", "--source", "nope:f", "--out", "data")
    assert (wrong.code, wrong.out) == (2, "")
    assert len(wrong.err.splitlines()) == 1


QUIET = [
    ("verify", "--out", "data"),
    ("aggregate", "--out", "data"),
    ("export", "--to", "parquet", "--out", "data", "lake"),
    ("status", "--out", "data", "--html", "page.html"),
]


@pytest.mark.parametrize("command", QUIET, ids=lambda command: command[0])
def test_quiet_prints_nothing_if_nothing_is_wrong_and_errors_to_standard_error(run, shop, command):
    run(*WEEK, *shop.options)
    nothing_wrong = run(*command, "--quiet")
    assert (nothing_wrong.code, nothing_wrong.out, nothing_wrong.err) == (0, "", "")
    assert run(*command, "--quiet", "--json").json
    wrong = run(*command, "--quiet", "--dataset", "nope")
    assert (wrong.code, wrong.out) == (2, "")
    assert len(wrong.err.splitlines()) == 1
    assert (shop.folder / "page.html").exists() == (command[0] == "status")


def test_quiet_verify_names_damaged_days_on_standard_error(run, shop):
    run(*WEEK, *shop.options)
    (shop.data / "days/2024-01-03.csv").write_text("")
    result = run("verify", "--out", "data", "--quiet")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("2024-01-03  ")


def test_quiet_commands_wait_for_another_run_without_a_word(run, shop):
    run(*WEEK, *shop.options)
    shop.configure(wait=["2024-01-09"])
    running = shop.start("fetch", "2024-01-09", "2024-01-09")
    shop.wait_for_calls(1)
    result = run("verify", "--out", "data", "--quiet", "--lock-wait", "0.1")
    assert (result.code, result.out) == (1, "")
    assert [line.partition(":")[0] for line in result.err.splitlines()] == ["Error"]
    (shop.folder / "go").touch()
    running.communicate(timeout=PATIENCE)


def test_the_metrics_are_explained_in_words(run, shop):
    lines = run(*WEEK, *shop.options).out.splitlines()
    assert "rows/s" in lines[2]
    assert "95 % within" in lines[3]
    assert "one after another they would take" in lines[3]
    assert lines[4] == "retries: none; waited for the rate limit of the source: 0.0 s"


def test_a_dataset_that_stays_locked_is_no_wrong_usage(run, shop):
    shop.data.mkdir(parents=True)
    with (shop.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ((*WEEK, *shop.options), ("verify", "--out", "data")):
            (shop.data / "days").mkdir(exist_ok=True)
            result = run(*command, "--lock-wait", "0.1")
            assert result.code == 1
            assert result.out == ""
            assert "another run still uses" in result.err.splitlines()[-1]


def test_a_source_that_is_away_ends_the_run_with_1_and_all_csv_is_written(run, shop):
    run(*WEEK, *shop.options)
    shop.configure(fail=[str(date(2019, 1, 1) + timedelta(number)) for number in range(1825)])
    (shop.data / "all.csv").unlink()
    waits = ("--wait-initial", "0.001", "--wait-max", "0.002", "--attempts", "2")
    result = run("fetch", "2019-01-03", "2023-12-30", *shop.options, *waits)
    assert result.code == 1
    assert len(shop.calls) <= 2 * (32 + 2 * 32)
    assert "days failed one after another" in result.err.splitlines()[-1]
    not_tried = int(re.search(r"\((\d+) days were not tried\)", result.err)[1])
    assert 1823 - 32 - 2 * 16 <= not_tried <= 1823 - 32
    assert len(shop.all()) == 7


def test_several_datasets_are_listed_where_one_must_be_chosen(run, shop):
    for name in ("shop", "other"):
        run("fetch", "2024-01-01", "2024-01-01", *shop.options, "--dataset", name)
    for command in ("missing", "aggregate"):
        result = run(command, "--out", "data")
        assert result.code == 2
        assert "choose one with --dataset: other, shop" in result.err


def test_reasons_are_one_line_without_control_characters(run, shop):
    (shop.folder / "odd.py").write_text(
        "def fetch_data(day):\n"
        "    raise ValueError('\\x1b]0;title\\x07a\\nb\\u202e' + 'x' * 9000)\n"
    )
    result = run(*WEEK, "--source", "odd:fetch_data", "--out", "data", "--attempts", "1")
    lines = result.err.splitlines()
    assert len(lines) == 7
    assert all(line.isprintable() and len(line) < 600 for line in lines)


def test_inside_another_group_the_exit_codes_are_the_same(tmp_path):
    other = click.Group("shop", commands={"ads": group})
    arguments = ["ads", "fetch", "2024-03-04", "2024-03-05", "--out", str(tmp_path)]
    assert CliRunner().invoke(other, arguments).exit_code == 2
    assert CliRunner().invoke(other, [*arguments, *EXAMPLE]).exit_code == 0


COMMANDS = [
    ["status", "--out", "data"],
    ["missing", "--out", "data", "--json"],
    ["verify", "--out", "data"],
    ["fetch", "2024-03-04", "2024-03-05", "--out", "data", *EXAMPLE],
    ["fetch", "2024-03-04", "2024-03-09", "--out", "data", *EXAMPLE, "--dry-run"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("stream", ["full", "pipe", "closed"])
def test_output_that_cannot_be_written_is_no_traceback(run, tmp_path, arguments, stream):
    run("fetch", "2024-03-04", "2024-03-05", "--out", "data", *EXAMPLE)
    shell = {
        "full": '"$@" > /dev/full',
        "pipe": '{ "$@"; echo $? > code; } | :; exit $(cat code)',
        "closed": '"$@" >&-',
    }
    done = subprocess.run(
        ["/bin/sh", "-c", shell[stream], "sh", sys.executable, "-m", "adsfetch", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode in {"full": {1}, "pipe": {0, 1}, "closed": {0}}[stream]
    if stream == "full":
        message = "Error: cannot write to standard output: No space left on device"
        assert done.stderr.splitlines()[-1] == message


def test_standard_error_that_is_full_changes_nothing(run, tmp_path):
    arguments = ["fetch", "2024-03-04", "2099-03-05", "--today", "2024-03-05", "--out", "data"]
    arguments += EXAMPLE
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" 2> /dev/full', "sh", sys.executable, "-m", "adsfetch", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "2 of 2 days fetched" in done.stdout


def test_without_a_home_folder_the_option_is_named(run, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "adsfetch", "update", "--customer-id", "1234567890", "--out", "d"],
        cwd=tmp_path,
        env={"PATH": "/bin", "GOOGLE_ADS_CONFIGURATION_FILE_PATH": "~nobody-here/ads.yaml"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("use --config")
    assert "Traceback" not in done.stderr
