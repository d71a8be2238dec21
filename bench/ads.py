"""adsfetch with a local Google Ads server: speed, memory, second runs, accounts, and kill -9."""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from stress.service import ROOT
from stress.threads import wait_until

sys.path.insert(0, str(ROOT / "tests" / "adsfetch"))

from adsserver.launch import CUSTOMER, AdsServer, ads_server

DAYS_30 = ("2024-01-01", "2024-01-30")
DAYS_60 = ("2023-01-01", "2023-03-01")
DAYS_200 = ("2023-01-01", "2023-07-19")
DAYS_730 = ("2022-01-01", "2023-12-31")
DAYS_1000 = ("2021-09-06", "2024-06-01")
MANAGER, ACCOUNTS = "9000000000", 200
ROUNDS = 9
KILLS = 10


@dataclass
class Measurement:
    """What a process printed and used; ``memory`` is in MB."""

    output: dict[str, Any]
    wall: float
    cpu: float
    memory: float

    @property
    def fetch_seconds(self) -> float:
        """Return how long it fetched, without the start of the program."""
        return float(self.output.get("fetch_seconds") or self.output["seconds"])

    @property
    def rows_per_second(self) -> float:
        """Return the rate at which rows arrived."""
        return float(self.output["rows"] / self.fetch_seconds)


def run(quick: bool) -> None:
    """Run all parts, or only the first."""
    parts = (measure_speed, measure_memory, measure_accounts, measure_kills)
    with tempfile.TemporaryDirectory() as name, ads_server(Path(name)) as server:
        for part in parts[:1] if quick else parts:
            part(server, Path(name))


def _measure(server: AdsServer, *command: str) -> Measurement:
    """Run a module in a process of its own."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, cwd=ROOT, env=server.environment
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{command} exited with {process.returncode}: {output.decode()}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measurement(json.loads(output), wall, cpu, usage.ru_maxrss / 1024)


def _fetch(
    server: AdsServer,
    out: Path,
    days: tuple[str, str],
    *options: str,
    account: tuple[str, str] = ("--customer-id", CUSTOMER),
) -> list[str]:
    """Return the command line of a fetch."""
    more = ["--config", str(server.config), "--today", "2024-06-01", "--out", str(out), "--json"]
    return ["adsfetch", "fetch", *days, *account, *more, *options]


def measure_speed(server: AdsServer, folder: Path) -> None:
    """Compare 16 workers with one, and in turns with a client that only counts rows."""
    server.behave(rows=1000, latency=0.05)
    counting = ("bench.peers.google_ads_client", str(server.config), CUSTOMER, *DAYS_60, "16")
    rounds = [
        (
            _measure(server, *_fetch(server, folder / f"speed{number}", DAYS_60)),
            _measure(server, *counting),
        )
        for number in range(ROUNDS)
    ]
    ours, plain = (
        sorted(costs, key=lambda cost: cost.fetch_seconds)[ROUNDS // 2]
        for costs in zip(*rounds, strict=True)
    )
    one = _measure(server, *_fetch(server, folder / "one", DAYS_60, "--workers", "1"))
    print(f"60 days x 1,000 rows, 50 ms latency, medians of {ROUNDS} rounds")
    for name, cost in (("16 workers", ours), ("1 worker", one), ("plain client", plain)):
        fetch = f"fetch {cost.fetch_seconds:.2f} s"
        print(f"  {name:12} {fetch}, wall {cost.wall:.2f} s, CPU {cost.cpu:.2f} s")
    print(f"  16 workers / 1 worker   {one.fetch_seconds / ours.fetch_seconds:.1f}")
    ratios = [mine.rows_per_second / other.rows_per_second for mine, other in rounds]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"  rows/s / plain client   {median(ratios):.2f} ({spread}; target 0.5)")


def measure_memory(server: AdsServer, folder: Path) -> None:
    """Compare the memory for 730 days with that for 60, and repeat a complete run."""
    server.behave(rows=1000)
    short = _measure(server, *_fetch(server, folder / "short", DAYS_60))
    long = _measure(server, *_fetch(server, folder / "long", DAYS_730))
    server.behave()
    again = _measure(server, *_fetch(server, folder / "long", DAYS_730))
    calls = len(server.log()["headers"])
    print("730 days x 1,000 rows")
    print(f"  memory    {long.memory:.0f} MB, {long.memory / short.memory:.2f} x that of 60 days")
    print(f"  time      {long.wall:.1f} s, {long.output['rows_per_second']} rows/s")
    print(f"  repeated  {again.wall:.2f} s, {calls} calls (target 0.3 s, 0 calls)")


def measure_accounts(server: AdsServer, folder: Path) -> None:
    """Compare 200 accounts of 30 days with as many days of one account, and with 20 accounts."""

    def fetch(number: int, accounts: int) -> Measurement:
        clients = [{"id": str(1_000_000_000 + each)} for each in range(accounts)]
        server.behave(rows=100, latency=0.05, clients=clients)
        out = folder / f"accounts{number}-{accounts}"
        return _measure(server, *_fetch(server, out, DAYS_30, account=("--manager", MANAGER)))

    def ratio(all_accounts: Measurement, one: Measurement) -> float:
        more = ACCOUNTS * 30 / 1000 - 1  # Google has no more days of one account
        added = one.output["fetch_seconds"] + one.output["aggregate_seconds"]
        return all_accounts.wall / (one.wall + more * added)

    rounds = []
    for number in range(3):
        many = fetch(number, ACCOUNTS)
        out = folder / f"one{number}"
        rounds.append((many, _measure(server, *_fetch(server, out, DAYS_1000))))
    few = fetch(0, 20)
    again = min((fetch(0, ACCOUNTS) for _ in range(5)), key=lambda cost: cost.wall)
    ratios = [ratio(many, one) for many, one in rounds]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{ACCOUNTS} accounts x 30 days x 100 rows, 50 ms latency, 16 workers")
    for many, one in rounds:
        calls = f"{many.fetch_seconds / many.output['days_fetched'] * 1000:.2f}"
        other = f"{one.fetch_seconds / one.output['days_fetched'] * 1000:.2f}"
        print(f"  wall {many.wall:.1f} s, CPU {many.cpu:.1f} s; {calls} ms a day, one: {other}")
    print(f"  time / that of one account {median(ratios):.2f} ({spread}; target 1.2)")
    print(f"  memory {many.memory:.0f} MB, of 20 accounts {few.memory:.0f} MB")
    print(f"  repeated {again.wall:.2f} s, CPU {again.cpu:.2f} s (best of 5; target 2 s)")


def measure_kills(server: AdsServer, folder: Path) -> None:
    """Kill a run of 200 days several times, then let it finish."""
    rng, repeated, out = random.Random(7), 0, folder / "killed"
    command = _fetch(server, out, DAYS_200)
    for _ in range(KILLS):
        server.behave(rows=100, latency=0.05)
        done = _recorded_days(out)
        with subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=server.environment
        ) as process:
            _wait_for_calls(server, process, rng.randint(1, 30))
            process.kill()
        repeated += len(done & set(server.log()["days"]))
    done = _recorded_days(out)
    server.behave(rows=100)
    _measure(server, *command)
    repeated += len(done & set(server.log()["days"]))
    with (out / f"{CUSTOMER}-campaign" / "all.csv").open(newline="") as lines:
        days = [row["segments.date"] for row in csv.DictReader(lines)]
    print(f"200 days x 100 rows, killed {KILLS} times")
    print(f"  days {len(set(days))}, rows {len(days)}, finished days requested again {repeated}")


def _recorded_days(out: Path) -> set[str]:
    """Return the days in the manifest."""
    manifest = out / f"{CUSTOMER}-campaign" / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True) if manifest.exists() else []
    return {json.loads(line)["day"] for line in lines if line.endswith("\n")}


def _wait_for_calls(server: AdsServer, process: "subprocess.Popen[bytes]", calls: int) -> None:
    """Wait until a run has requested so many days, or ended."""
    wait_until(lambda: len(server.log()["days"]) >= calls or process.poll() is not None, 60, 0.005)
