"""The metrics for Prometheus: what they say after every kind of end, and where they are written."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from adsfetch.cli.metrics_file import HELP, text_of
from adsfetch.storage.states import State
from tests.waiting import PATIENCE

WEEK = ("fetch", "2024-01-01", "2024-01-07")
DOCUMENT = Path(__file__).parents[3] / "docs/ads.md"
METRICS = ("--metrics-file", "ads.prom", "--today", "2024-01-08")


def samples(file):
    """Return the values by metric and labels, of a file in which each metric is described."""
    families = list(text_string_to_metric_families(file.read_text()))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert (family.type, family.documentation) == ("gauge", HELP[family.name])
    found = [sample for family in families for sample in family.samples]
    values = {(each.name, *sorted(each.labels.items())): each.value for each in found}
    assert len(values) == len(found)
    return values


@pytest.fixture
def metrics(shop):
    """The value of a metric of the dataset, or of the command."""

    def value(name, dataset="fetch_data", **labels):
        labels = {**labels, "dir": str(shop.folder / "data")}
        if not name.startswith("command"):
            labels["dataset"] = dataset
        key = (f"adsfetch_{name}", *sorted(labels.items()))
        return samples(shop.folder / "ads.prom").get(key)

    return value


def days(metrics):
    return {str(state): metrics("reports", state=str(state)) for state in State}


def age(shop, **change):
    """Move the last run into the past."""
    file = shop.data / "last_run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))


def test_every_metric_is_in_the_file_of_a_run(shop, run):
    assert run(*WEEK, *shop.options, *METRICS).code == 0
    assert {name for name, *_ in samples(shop.folder / "ads.prom")} == HELP.keys()
    assert not list(shop.folder.glob(".*.part"))


def test_a_run_with_a_failed_day_says_how_many_and_keeps_the_last_success(shop, run, metrics):
    shop.configure(rows=2, empty=["2024-01-02"])
    run("fetch", "2024-01-01", "2024-01-02", *shop.options, *METRICS, "--lookback", "3")
    assert metrics("last_success_timestamp_seconds") == metrics("last_run_timestamp_seconds")
    age(shop, ended=1000, succeeded=1000)
    shop.configure(rows=2, fail=["2024-01-04"])
    waits = ("--attempts", "2", "--wait-initial", "0.01")
    assert run(*WEEK, *shop.options, *METRICS, *waits).code == 1
    assert metrics("last_success_timestamp_seconds") == 1000
    assert metrics("last_run_timestamp_seconds") > 1000
    assert metrics("command_end_timestamp_seconds") == metrics("last_run_timestamp_seconds")
    assert metrics("last_run_exit_code") == metrics("command_exit_code") == 1
    assert metrics("last_run_calls") == 6
    assert metrics("last_run_retries") == 1
    assert metrics("last_run_rows") == 8
    assert metrics("rows") == 10
    assert days(metrics) == {
        "final": 3, "empty": 1, "provisional": 2, "failed": 1, "missing": 0, "unavailable": 0,
    }  # fmt: skip


def test_the_newest_day_starts_in_the_time_zone_of_the_account(shop, run, metrics):
    run(*WEEK, *shop.options, *METRICS, "--time-zone", "Asia/Tokyo")
    assert metrics("newest_day_timestamp_seconds") == 1704585600 - 9 * 3600


@pytest.mark.parametrize(
    ("raised", "code"),
    [("adsfetch.OAuthError('no')", 3), ("adsfetch.RateLimitError(retry_after=86400)", 4)],
)
def test_a_run_that_is_stopped_at_once_writes_its_exit_code(shop, run, metrics, raised, code):
    shop.configure(**{"raise": {f"2024-01-0{day}": raised for day in range(1, 8)}})
    assert run(*WEEK, *shop.options, *METRICS).code == code
    assert metrics("last_run_exit_code") == metrics("command_exit_code") == code
    assert metrics("last_success_timestamp_seconds") == 0
    assert metrics("newest_day_timestamp_seconds") == 0


@pytest.mark.parametrize(
    "source",
    [
        ("--source", "nope:fetch_data"),  # the dataset is named, and cannot be fetched
        ("--source", "adsfetch.example:fetch_data"),  # it has rows of another source
        ("--source", "nope"),  # no dataset is known
    ],
)
def test_a_command_that_cannot_start_writes_its_exit_code_and_keeps_the_datasets(
    shop, run, metrics, source
):
    run(*WEEK, *shop.options, *METRICS)
    age(shop, ended=1000, succeeded=1000)
    result = run(*WEEK, "--out", "data", *source, *METRICS)
    assert result.code == 2, result.err
    assert metrics("command_exit_code") == 2
    assert metrics("last_success_timestamp_seconds") == 1000
    assert metrics("rows") == 7


def test_a_run_that_is_interrupted_writes_130(shop, metrics):
    shop.configure(hang=["2024-01-03"])
    running = shop.start(*WEEK, *METRICS, "--workers", "1")
    shop.wait_for_calls(3)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert metrics("last_run_exit_code") == metrics("command_exit_code") == 130
    found = days(metrics)
    assert found["missing"] >= 3
    assert found["missing"] + found["provisional"] == 7


def test_a_run_that_finds_another_one_writes_that_it_did_not_run(shop, run, metrics):
    run("fetch", "2024-01-01", "2024-01-02", *shop.options, *METRICS)
    shop.configure(wait=["2024-01-03"])
    running = shop.start(*WEEK, "--workers", "1")
    shop.wait_for_calls(1)
    assert run(*WEEK, *shop.options, *METRICS, "--lock-wait", "0.1").code == 1
    assert metrics("command_exit_code") == 1
    (shop.folder / "go").touch()
    running.communicate(timeout=PATIENCE)
    assert json.loads((shop.data / "last_run.json").read_text())["exit_code"] == 0


def test_several_lines_of_a_crontab_share_a_file_until_a_dataset_is_deleted(shop, run, metrics):
    odd = 'q"u\no'
    for name in ("one", odd):
        run(*WEEK, *shop.options, *METRICS, "--dataset", name)
    assert [metrics("rows", name) for name in ("one", odd)] == [7, 7]
    shutil.rmtree(shop.folder / "data" / odd)
    run(*WEEK, *shop.options, *METRICS, "--dataset", "two")
    assert [metrics("rows", name) for name in ("one", odd, "two")] == [7, None, 7]


def test_a_dry_run_writes_neither_metrics_nor_a_record(shop, run):
    run(*WEEK, *shop.options, *METRICS, "--dry-run")
    assert not (shop.folder / "ads.prom").exists()
    assert not shop.data.exists()


@pytest.mark.parametrize("path", ["none/ads.prom", "/dev/full"])
def test_metrics_that_cannot_be_written_are_named_and_the_days_are_stored(shop, run, path):
    result = run(*WEEK, *shop.options, "--metrics-file", path, "--quiet")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"Error: cannot write {shop.folder / path}")
    assert len(result.err.splitlines()) == 1
    assert len(shop.all()) == 7


def test_the_exit_code_of_the_run_goes_before_that_of_the_metrics(shop, run):
    shop.configure(**{"raise": {"2024-01-01": "adsfetch.OAuthError('no')"}})
    arguments = ("fetch", "2024-01-01", "2024-01-01", *shop.options)
    assert run(*arguments, "--metrics-file", "none/ads.prom").code == 3


@pytest.mark.parametrize("name", ["all.csv", "last_run.json", "days/2024-01-02.csv", "link"])
def test_no_file_of_the_dataset_is_replaced_by_metrics(shop, run, name):
    run("fetch", "2024-01-01", "2024-01-03", *shop.options)
    (shop.data / "link").hardlink_to(shop.data / "manifest.jsonl")
    before = (shop.data / name).read_bytes()
    shop.configure()
    result = run(*WEEK, *shop.options, "--metrics-file", str(shop.data / name))
    assert (result.code, shop.calls) == (2, [])
    assert "is a file of a dataset" in result.err
    assert (shop.data / name).read_bytes() == before


def test_a_source_that_changes_the_folder_does_not_move_the_file(shop, run, metrics):
    (shop.folder / "elsewhere").mkdir()
    (shop.folder / "moves.py").write_text(
        "import os\nos.chdir('elsewhere')\ndef fetch_data(day): return [{'a': 1}]\n"
    )
    assert run(*WEEK, "--source", "moves:fetch_data", "--out", "data", *METRICS).code == 0
    assert metrics("rows") == 7
    assert not list((shop.folder / "elsewhere").iterdir())


@pytest.fixture
def accounts(run, ads, tmp_path):
    """Fetch two days of four clients of a manager, of whom one is cancelled and one refuses."""
    closed, refusing = "1000000001", "1000000002"
    clients = [{"id": f"100000000{number}"} for number in range(4)]
    clients[1]["status"] = "CANCELED"
    ads.behave(
        {"do": "permission", "customer": refusing, "times": 1_000},
        clients=[{**each, "name": "a shop"} for each in clients],
    )

    def go(*more):
        google = ("--config", str(ads.config), "--manager", "9000000000", "--out", "data")
        days = ("2024-02-01", "2024-02-02", "--today", "2024-03-31", "--metrics-file", "ads.prom")
        result = run("fetch", *days, *google, *more, "--quiet", env=ads.environment)
        assert closed not in result.err
        return result

    return go


def by_dataset(tmp_path, name):
    found = samples(tmp_path / "ads.prom")
    return {
        dict(labels)["dataset"]: value
        for (metric, *labels), value in found.items()
        if metric == f"adsfetch_{name}"
    }


def test_each_of_many_accounts_has_its_own_metrics(accounts, tmp_path):
    result = accounts()
    assert (result.code, result.out) == (3, "")
    assert all(line.startswith("1000000002-campaign: ") for line in result.err.splitlines())
    names = [f"100000000{number}-campaign" for number in (0, 2, 3)]
    codes = by_dataset(tmp_path, "last_run_exit_code")
    assert codes == dict(zip(names, (0, 3, 0), strict=True))
    assert by_dataset(tmp_path, "rows") == dict(zip(names, (6, 0, 6), strict=True))
    success = by_dataset(tmp_path, "last_success_timestamp_seconds")
    assert success[names[1]] == 0
    assert success[names[0]] == success[names[2]] > 0


def test_accounts_that_the_budget_did_not_reach_are_no_success(accounts, tmp_path):
    assert accounts("--daily-operations", "3").code == 4
    codes = by_dataset(tmp_path, "last_run_exit_code")
    calls = by_dataset(tmp_path, "last_run_calls")
    rows = by_dataset(tmp_path, "last_run_rows")
    assert len(codes) == 3
    assert set(codes.values()) <= {3, 4}
    assert sum(calls.values()) <= 2
    assert sum(rows.values()) <= 6
    success = by_dataset(tmp_path, "last_success_timestamp_seconds")
    assert set(success.values()) == {0}


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_every_label_can_be_parsed_again(text):
    written = text_of([("adsfetch_rows", {"dir": "/a", "dataset": text}, 1.5)])
    (family,) = text_string_to_metric_families(written)
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"dir": "/a", "dataset": text}, 1.5)


def test_the_name_of_a_folder_may_be_any_bytes():
    written = text_of([("adsfetch_rows", {"dataset": os.fsdecode(b"a\xff")}, 1)])
    assert 'dataset="a?"' in written


def test_the_alert_rules_in_the_document_name_metrics_and_states_that_exist():
    text = DOCUMENT.read_text()
    block = re.search(r"^ {4}groups:\n(?:(?: {4}.*)?\n)+", text, re.MULTILINE)
    (group,) = yaml.safe_load(block[0])["groups"]
    rules = " ".join(rule["expr"] for rule in group["rules"])
    assert len(group["rules"]) >= 4
    named = set(re.findall(r"adsfetch_\w+", rules))
    assert named <= HELP.keys()
    assert {"adsfetch_last_success_timestamp_seconds", "adsfetch_reports"} <= named
    states = re.findall(r'state=~?"([\w|]+)"', rules)
    assert {state for each in states for state in each.split("|")} <= {*State}
    assert set(re.findall(r"`(adsfetch_\w+)`", text)) == HELP.keys()
