"""Help texts, exit codes inside another group, and output that cannot be written."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from adsfetch.cli import ads as group

EXAMPLE = ["--source", "adsfetch.example:fetch_data"]


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert f"adsfetch {name}" in result.output.partition("Examples:")[2]


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
