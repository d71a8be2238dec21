"""The fetching commands: output, dry run, progress bar, and a run with nothing to do."""

import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress

from tests.waiting import PATIENCE, shortest

EXAMPLE = ("--source", "adsfetch.example:fetch_data", "--out", "data")
WEEK = ("fetch", "2024-02-27", "2024-03-04", *EXAMPLE)


def test_the_example_returns_the_same_rows_everywhere(run, tmp_path):
    result = run(*WEEK)
    assert result.code == 0
    assert "7 of 7 days fetched (1 of them empty), 15 rows" in result.out
    assert run(*WEEK).out == (
        "fetch_data: 2024-02-27 to 2024-03-04, nothing to do: all days are final\n"
        f"{tmp_path / 'data/fetch_data/all.csv'}: unchanged, 7 days, 15 rows\n"
    )


def test_the_last_line_names_a_file_also_if_only_one_of_several_accounts_has_days(
    run, ads, tmp_path
):
    ads.behave({"do": "permission", "customer": "1000000002", "times": 1_000})
    accounts = ("--customer-id", "1000000001", "--customer-id", "1000000002")
    days = ("2024-01-01", "2024-01-02", "--today", "2024-03-01", "--out", "data")
    result = run("fetch", *days, *accounts, "--config", str(ads.config), env=ads.environment)
    assert result.code == 3
    file = tmp_path / "data/1000000001-campaign/all.csv"
    assert result.out.splitlines()[-1] == f"{file}: written, 2 days, 6 rows"


def test_a_dry_run_lists_days_and_operations_and_writes_nothing(run, tmp_path):
    result = run(*WEEK, "--dry-run", "--json")
    assert result.json["operations"] == 7
    assert result.json["days"][0] == "2024-02-27"
    assert not (tmp_path / "data").exists()


def test_a_run_with_nothing_to_do_loads_no_client_and_ends_at_once(run_program, run, ads, tmp_path):
    days = ("2024-01-01", "2024-03-31", "--today", "2024-05-01")
    google = ("--customer-id", "123-456-7890", "--config", str(ads.config))
    arguments = ["fetch", *days, *google, "--out", "data"]
    assert run(*arguments, env=ads.environment).code == 0
    ads.behave()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "adsfetch", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {name for name in loaded if name.startswith(("google", "grpc", "tenacity", "tqdm"))}
    assert ads.log()["days"] == []

    def processor_time():
        before = os.times()
        assert run_program(*arguments).code == 0
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])  # that of children, in user and system mode

    assert shortest(processor_time, 0.3) < 0.3


def test_without_the_google_extra_other_sources_work_and_the_error_says_what_to_install(
    run_program, tmp_path
):
    (tmp_path / "google.py").write_text("raise ModuleNotFoundError('no', name='google')")
    assert run_program(*WEEK).code == 0
    (tmp_path / "some.yaml").write_text("developer_token: x")
    arguments = ("update", "--customer-id", "1234567890", "--out", "data", "--config", "some.yaml")
    result = run_program(*arguments)
    assert result.code == 2
    assert "pip install '.[ads]'" in result.err


def read_terminal(descriptor):
    """Return what was written to a terminal; nothing when no process has it open any more."""
    with suppress(OSError):
        return os.read(descriptor, 10_000)
    return b""


def test_the_progress_bar_is_for_terminals_only(run, tmp_path):
    assert run(*WEEK).err == ""
    main, side = pty.openpty()
    termios.tcsetwinsize(side, (25, 80))
    arguments = ("fetch", "2024-01-01", "2024-01-31", *EXAMPLE)
    with subprocess.Popen(
        [sys.executable, "-m", "adsfetch", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=side,
    ) as process:
        os.close(side)
        shown = b"".join(iter(lambda: read_terminal(main), b""))  # all: a full one blocks
        out, _ = process.communicate(timeout=PATIENCE)
    os.close(main)
    assert b"31/31" in shown
    assert out.startswith(b"fetch_data: 2024-01-01 to 2024-01-31, 31 of 31 days fetched")


def test_all_metrics_are_in_the_json(run):
    metrics = run(*WEEK, "--json").json
    assert set(metrics) >= {
        "days_fetched", "rows", "wall_seconds", "fetch_seconds", "aggregate_seconds",
        "rows_per_second", "calls", "retries", "throttled_seconds", "call_p50_seconds",
        "call_p95_seconds", "speed_up", "exit_code",
    }  # fmt: skip
    assert (metrics["calls"], metrics["rows"], metrics["exit_code"]) == (7, 15, 0)


def test_a_dry_run_names_series_of_days_and_a_single_call_is_compared_with_nothing(run):
    assert "calls: 1, within " in run("fetch", "2024-02-29", "2024-02-29", *EXAMPLE).out
    head, *series = run(*WEEK, "--dry-run").out.splitlines()
    assert head.endswith("6 days to fetch, 6 operations")
    assert series == ["2024-02-27 to 2024-02-28, 2 days", "2024-03-01 to 2024-03-04, 4 days"]


def test_a_file_that_was_never_there_has_no_old_content(run, tmp_path):
    (tmp_path / "file").touch()
    result = run("fetch", "2024-02-29", "2024-02-29", *EXAMPLE[:2], "--out", "file/data")
    assert result.code == 1
    assert result.err.endswith("/file/data/fetch_data/lock: Not a directory\n")
