"""Runs whose calls are made by the workers of a Dask cluster, against the local server."""

import csv
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest
from dask_cluster import dask_cluster

from adsfetch import UsageError
from adsfetch.cluster.client import Cluster
from tests.waiting import PATIENCE, wait_until

THREADS = 4
IDS = [f"10000000{n:02}" for n in range(6)]
REFUSED, FAILING = IDS[2], IDS[3]
FIRST, LAST = "2024-02-01", "2024-02-05"
NAMES = [option for each in IDS for option in ("--customer-id", each)]
WAITS = ["--wait-initial", "0.05", "--wait-max", "0.2", "--lookback", "0", "--today", "2024-03-01"]
DAYS = {(each, f"2024-02-0{day}") for each in IDS for day in range(1, 6)}


@pytest.fixture(scope="module")
def started(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    with dask_cluster(folder, server.environment, 2, THREADS) as cluster:
        yield cluster


@pytest.fixture
def cluster(started):
    """Two workers, also if the test before has killed one."""
    started.have_workers(2)
    return started


@pytest.fixture
def agency(cluster, ads):
    """Return the arguments of a run over all accounts on the cluster."""
    options = ["--config", str(ads.config), "--executor", cluster.address, "--json"]
    return ["fetch", FIRST, LAST, *NAMES, *WAITS, "--out", "data", *options]


def contents(folder):
    """Return the files of all datasets, without the times at which they were written."""
    found = {}
    for path in folder.rglob("*"):
        if path.name == "manifest.jsonl":
            entries = map(json.loads, path.read_text().splitlines())
            found[path.relative_to(folder)] = {
                each["day"]: {**each, "changed": 0} for each in entries
            }
        elif path.suffix == ".json" and path.name != "operations.json":
            record = json.loads(path.read_text())
            for timed in (record, record.get("aggregate", {})):
                for name in ("changed", "ended", "succeeded"):
                    timed.pop(name, None)
            found[path.relative_to(folder)] = record
        elif path.is_file():
            found[path.relative_to(folder)] = path.read_bytes()
    return found


def outcome(result):
    """Return what does not depend on time in the summary of a run."""
    timed = ("_seconds", "per_second", "speed_up", "file")
    return [
        {name: value for name, value in part.items() if not name.endswith(timed)}
        for part in result.json["datasets"]
    ]


def spent(folder):
    record = json.loads((folder / "operations.json").read_text())
    return sum(record["spent"].values())


def test_the_files_are_those_that_threads_write(run, ads, agency, tmp_path):
    refusal = {"do": "permission", "customer": REFUSED, "times": 1_000}
    failure = {"do": "internal", "customer": FAILING, "day": "2024-02-03", "times": 5}
    results = {}
    for out, executor in (("data", []), ("threads", ["--executor", "threads"])):
        ads.behave(refusal, failure, empty=["2024-02-04"])
        arguments = [*agency, "--out", out, *executor]
        results[out] = run(*arguments, env=ads.environment)
        calls = Counter(map(tuple, ads.log()["calls"]))
        assert sum(count for (each, day), count in calls.items() if day and each == REFUSED) == 1
    assert results["data"].code == results["threads"].code == 3
    assert outcome(results["data"]) == outcome(results["threads"])
    assert f"{FAILING}-campaign: failed 2024-02-03: " in results["data"].err
    assert contents(tmp_path / "data") == contents(tmp_path / "threads")
    assert not list(tmp_path.rglob("*.part"))


def test_all_workers_together_make_at_most_as_many_calls_at_a_time(run, ads, agency):
    ads.behave(latency=0.1)
    assert run(*agency, "--workers", "3", env=ads.environment).code == 0
    assert ads.log()["busiest"] <= 3


def test_a_rate_limit_that_one_worker_meets_pauses_all(run, ads, agency):
    ads.behave({"do": "quota", "scope": "DEVELOPER", "retry_delay": 0.5})
    result = run(*agency, env=ads.environment)
    assert (result.code, result.json["retries"]) == (0, {"rate limit": 1})
    assert result.json["throttled_seconds"] > 0


def test_the_budget_holds_for_all_workers(run, ads, agency, tmp_path):
    result = run(*agency, "--daily-operations", "20", env=ads.environment)
    assert result.code == 4
    assert "the budget of 20 operations in 24 hours is spent" in result.err
    assert len(ads.log()["calls"]) == spent(tmp_path / "data") == 20
    # They get their permits in this order, but a worker that is slow may make its calls later.
    newest = {each for each, day in ads.log()["calls"] if day == LAST}
    assert newest == set(IDS), "the newest day of all accounts comes first"


def test_a_killed_worker_costs_another_try_of_its_days(run, ads, agency, cluster, tmp_path):
    ads.behave(together=(len(IDS) + 1, 1000))  # after the first day of each account, which is alone
    with subprocess.Popen(
        [sys.executable, "-m", "adsfetch", *agency, "--daily-operations", "1000"],
        cwd=tmp_path,
        env=ads.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: len(ads.log()["days"]) == len(IDS) + 2 * THREADS)
        cluster.workers[0].kill()
        ads.change(together=(0, 0))
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert json.loads(out)["days_fetched"] == len(DAYS)
    calls = Counter((each, day) for each, day in ads.log()["calls"] if day)
    assert calls.keys() == DAYS
    assert calls.total() - len(DAYS) <= THREADS
    assert len(ads.log()["calls"]) <= spent(tmp_path / "data")
    assert json.loads(out)["retries"].keys() == {"transient"}
    with (tmp_path / "data/all/campaign.csv").open(newline="") as lines:
        rows = Counter((row["customer_id"], row["segments.date"]) for row in csv.DictReader(lines))
    assert rows == dict.fromkeys(DAYS, 3)
    ads.behave()
    assert run(*agency, env=ads.environment).json["days_asked"] == 0
    assert ads.log()["calls"] == []
    assert not list(tmp_path.rglob("*.part")), "the next run deletes what a kill has left"


def test_after_a_killed_run_the_next_one_fetches_its_days_although_workers_still_call(
    run, shop, cluster, tmp_path
):
    days = [f"2024-02-{day:02}" for day in range(1, 13)]
    shop.configure(wait=days, rows=2)
    options = [days[0], days[-1], *WAITS, "--json", "--executor", cluster.address]
    with shop.start("fetch", *options, "--daily-operations", "1000") as killed:
        shop.wait_for_calls(2 * THREADS)
        killed.kill()
    assert list(tmp_path.rglob("*.part")), "the claims of the calls that still run"
    with shop.start("fetch", *options) as process:
        wait_until(lambda: not list(tmp_path.rglob("*.part")))  # it has begun
        (tmp_path / "go").touch()
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, json.loads(out)["days_fetched"]) == (0, len(days)), err
    assert Counter(row["date"] for row in shop.all()) == dict.fromkeys(days, 2)
    assert len(shop.calls) == spent(tmp_path / "data") == len(days) + 2 * THREADS
    calls = len(shop.calls)

    def are_deleted():
        assert run("fetch", *options, *shop.options).json["days_asked"] == 0
        return not list(tmp_path.rglob("*.part"))

    wait_until(are_deleted)  # also what the calls of the killed run have written since then
    assert len(shop.calls) == calls


def test_credentials_that_a_worker_cannot_use_end_the_run(run, ads, agency):
    ads.behave({"on": "token", "do": "invalid_grant", "after": 1, "times": 1_000})
    result = run(*agency, env=ads.environment)
    assert result.code == 3
    assert "invalid_grant" in result.err
    assert result.json["days_not_tried"] == len(DAYS)


def test_a_source_of_ones_own_fails_its_days_as_it_does_in_threads(run, shop, cluster, ads):
    odd = "type('OddError', (Exception,), {'__reduce__': lambda error: 1 / 0})('odd')"
    shop.configure(**{"raise": {"2024-02-02": odd, "2024-02-03": "SystemExit('bye')"}}, rows=2)
    arguments = ["fetch", FIRST, LAST, *shop.options, *WAITS, "--json"]
    result = run(*arguments, "--executor", cluster.address)
    assert result.code == 1
    failed = {each["day"]: each["reason"] for each in result.json["failed"]}
    assert "OddError: odd" in failed["2024-02-02"]
    assert failed["2024-02-03"] == "DayError: the source raised SystemExit: bye"
    assert len(shop.all()) == 2 * 3


def test_an_interrupted_run_frees_the_workers(run, shop, cluster):
    days = ["2024-02-01", "2024-02-28"]
    arguments = [*days, *WAITS, "--json", "--executor", cluster.address]
    shop.configure(hang=[f"2024-02-{day:02}" for day in range(1, 29)])
    with shop.start("fetch", *arguments) as process:
        shop.wait_for_calls(2 * THREADS)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    shop.configure()
    assert run("fetch", *arguments, *shop.options).code == 0


def test_a_lost_scheduler_ends_the_run(shop, server, tmp_path):
    shop.configure(hang=[FIRST])
    with dask_cluster(tmp_path / "dask", server.environment, 1) as short_lived:
        arguments = ["fetch", FIRST, LAST, *WAITS, "--executor", short_lived.address]
        with shop.start(*arguments) as process:
            wait_until(lambda: len(shop.recorded) == 4)
            short_lived.scheduler.kill()
            _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the connection to the Dask scheduler at 127.0.0.1" in err
    assert "Traceback" not in err


def test_a_scheduler_that_is_not_there_is_reported_before_any_day(run, shop):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    result = run("fetch", FIRST, LAST, *shop.options, "--executor", f"dask://{address}")
    assert result.code == 1
    assert f"cannot reach a Dask scheduler at {address}: Connection refused" in result.err
    assert shop.calls == []


@pytest.mark.parametrize("executor", ["dask", "dask://", "dask://host", "processes", "tcp://h:1"])
def test_another_executor_is_a_usage_error(run, shop, executor):
    result = run("fetch", FIRST, LAST, *shop.options, "--executor", executor)
    assert result.code == 2
    assert f"--executor {executor!r} is neither threads nor dask://HOST:PORT" in result.err


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"needs the extra 'dask': pip install '\.\[dask\]'"):
        Cluster("127.0.0.1:8786")
