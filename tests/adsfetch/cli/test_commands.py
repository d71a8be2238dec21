"""The commands at their edge: help, words, JSON, the calendar, speed with nothing to do."""

import os
import pty
import subprocess
import sys
import termios
from html.parser import HTMLParser

import click
import pytest
from click.testing import CliRunner

from adsfetch.cli import ads as group

EXAMPLE = ("--source", "adsfetch.example:fetch_data", "--out", "data")
WEEK = ("fetch", "2024-02-27", "2024-03-04", *EXAMPLE)


def test_the_example_gives_everyone_the_same_rows(run, tmp_path):
    answer = run(*WEEK)
    assert answer.code == 0
    assert "7 of 7 days fetched (1 of them empty), 15 rows" in answer.out
    assert run(*WEEK).out == (
        "fetch_data: 2024-02-27 to 2024-03-04, nothing to do: all days are final\n"
    )


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert f"adsfetch {name}" in result.output.partition("Examples:")[2]


@pytest.mark.parametrize(
    ("words", "complaint"),
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
def test_wrong_words_end_with_2_one_clear_sentence_and_no_folder(run, tmp_path, words, complaint):
    answer = run(*words)
    assert answer.code == 2
    assert complaint in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_a_configuration_that_is_not_there_is_named(run):
    answer = run("update", "--customer-id", "1234567890", "--out", "d", "--config", "none.yaml")
    assert answer.code == 2
    assert "none.yaml" in answer.err


def test_under_another_group_the_exit_codes_are_the_same(tmp_path):
    other = click.Group("shop", commands={"ads": group})
    words = ["ads", "fetch", "2024-03-04", "2024-03-05", "--out", str(tmp_path)]
    assert CliRunner().invoke(other, words).exit_code == 2
    source = ["--source", "adsfetch.example:fetch_data"]
    assert CliRunner().invoke(other, [*words, *source]).exit_code == 0


def test_a_dry_run_says_days_and_operations_and_writes_nothing(run, tmp_path):
    answer = run(*WEEK, "--dry-run", "--json")
    assert answer.json["operations"] == 7
    assert answer.json["days"][0] == "2024-02-27"
    assert not (tmp_path / "data").exists()


def test_a_run_with_nothing_to_do_loads_no_client_and_answers_at_once(run, ads, tmp_path):
    google = ("fetch", "2024-01-01", "2024-03-31", "--customer-id", "123-456-7890")
    words = [*google, "--config", str(ads.config), "--out", "data"]
    assert run(*words, env=ads.environment).code == 0
    ads.behave()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "adsfetch", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {name for name in loaded if name.startswith(("google", "grpc", "tenacity", "tqdm"))}
    assert ads.log()["days"] == []
    before = os.times()
    assert run(*words).code == 0
    spent = os.times()
    assert (
        spent.children_user
        + spent.children_system
        - (before.children_user + before.children_system)
        < 0.3
    )


def test_without_the_google_extra_all_else_works_and_the_message_says_what_to_install(
    run, tmp_path
):
    (tmp_path / "google.py").write_text("raise ModuleNotFoundError('no', name='google')")
    assert run(*WEEK).code == 0
    (tmp_path / "some.yaml").write_text("developer_token: x")
    words = ("update", "--customer-id", "1234567890", "--out", "data", "--config", "some.yaml")
    answer = run(*words)
    assert answer.code == 2
    assert "pip install 'bookstall[ads]'" in answer.err


class Marks(HTMLParser):
    """Counts the days of each kind on the page."""

    def __init__(self):
        super().__init__()
        self.kinds = []

    def handle_starttag(self, tag, attrs):
        kind = dict(attrs).get("class")
        if tag == "td" and kind:
            self.kinds.append(kind)


def test_the_calendar_shows_the_same_days_in_the_terminal_and_on_the_page(run, tmp_path):
    run(*WEEK)
    (tmp_path / "data/fetch_data/days/2024-03-02.csv").unlink()
    answer = run("status", "2024-02-26", "2024-03-04", "--out", "data", "--html", "page.html")
    assert "5 final, 1 empty, 0 provisional, 0 failed, 2 missing" in answer.out
    assert "2024-02                           .#o#" in answer.out
    assert "2024-03  #.##" in answer.out
    page = Marks()
    text = (tmp_path / "page.html").read_text()
    page.feed(text)
    assert sorted(page.kinds) == ["empty"] + ["final"] * 5 + ["missing"] * 2
    assert "http" not in text


def test_the_bar_is_for_terminals_only(run, tmp_path):
    assert run(*WEEK).err == ""
    main, side = pty.openpty()
    termios.tcsetwinsize(side, (25, 80))
    words = ("fetch", "2024-01-01", "2024-01-31", *EXAMPLE)
    with subprocess.Popen(
        [sys.executable, "-m", "adsfetch", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=side,
    ) as process:
        out, _ = process.communicate(timeout=20)
    os.close(side)
    assert b"31/31" in os.read(main, 10_000)
    os.close(main)
    assert out.startswith(b"fetch_data: 2024-01-01 to 2024-01-31, 31 of 31 days fetched")


def test_every_figure_is_in_the_json(run):
    figures = run(*WEEK, "--json").json
    assert set(figures) >= {
        "days_fetched", "rows", "wall_seconds", "fetch_seconds", "aggregate_seconds",
        "rows_per_second", "calls", "retries", "throttled_seconds", "call_p50_seconds",
        "call_p95_seconds", "speed_up", "exit_code",
    }  # fmt: skip
    assert (figures["calls"], figures["rows"], figures["exit_code"]) == (7, 15, 0)
