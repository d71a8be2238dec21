"""adsfetch against the local Google Ads server: speed, memory, a second run, and kill -9.

Run as ``python -m bench.ads``. Figures depend on the machine; the ratios should not.
"""

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
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "adsfetch"))

from adsserver.launch import CUSTOMER, AdsServer, ads_server  # noqa: E402

SIXTY = ("2023-01-01", "2023-03-01")
TWO_YEARS = ("2022-01-01", "2023-12-31")
TWO_HUNDRED = ("2023-01-01", "2023-07-19")
MEGABYTE = 1024
ROUNDS = 9


@dataclass
class Cost:
    """What a process printed and used; ``memory`` in MB."""

    figures: dict[str, Any]
    wall: float
    cpu: float
    memory: float


def measured(server: AdsServer, *words: str) -> Cost:
    """Run a module in a process of its own."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, cwd=ROOT, env=server.environment
    ) as process:
        assert process.stdout
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}: {out.decode()}")
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(json.loads(out), wall, cpu, usage.ru_maxrss / MEGABYTE)


def command(server: AdsServer, out: Path, days: tuple[str, str], *more: str) -> list[str]:
    """Return the words of a fetch from the server."""
    account = ["--config", str(server.config), "--customer-id", CUSTOMER]
    account += ["--today", "2024-06-01"]
    return ["adsfetch", "fetch", *days, *account, "--out", str(out), "--json", *more]


def speed(server: AdsServer, folder: Path) -> None:
    """Compare 16 workers with one, and with a client that only counts, in turns; medians."""
    server.behave(rows=1000, latency=0.05)
    words = ("bench.bare_client", str(server.config), CUSTOMER, *SIXTY, "16")
    rounds = [
        (
            measured(server, *command(server, folder / f"ours{turn}", SIXTY)),
            measured(server, *words),
        )
        for turn in range(ROUNDS)
    ]
    ours, bare = (sorted(costs, key=seconds)[ROUNDS // 2] for costs in zip(*rounds, strict=True))
    one = measured(server, *command(server, folder / "one", SIXTY, "--workers", "1"))
    rates = sorted(rows_per_second(ours) / rows_per_second(bare) for ours, bare in rounds)
    print(f"60 days x 1,000 rows, 50 ms latency, medians of {ROUNDS} rounds")
    for name, cost in (("16 workers", ours), ("1 worker", one), ("bare client", bare)):
        wall, cpu = f"wall {cost.wall:.2f} s", f"CPU {cost.cpu:.2f} s"
        print(f"  {name:12} fetch {seconds(cost):.2f} s, {wall}, {cpu}")
    print(f"  against one worker      {seconds(one) / seconds(ours):.1f} x")
    middle, span = rates[ROUNDS // 2], f"{rates[0]:.2f} to {rates[-1]:.2f}"
    print(f"  against the bare client {middle:.2f} x its rows per second, {span} (wanted: 0.5)")


def seconds(cost: Cost) -> float:
    """Return how long the fetching took, without the start of the program."""
    return float(cost.figures.get("fetch_seconds") or cost.figures["seconds"])


def rows_per_second(cost: Cost) -> float:
    """Return how many rows came while fetching."""
    return float(cost.figures["rows"] / seconds(cost))


def memory(server: AdsServer, folder: Path) -> None:
    """Compare the peak memory of 730 days with that of 60, and run again with nothing to do."""
    server.behave(rows=1000)
    short = measured(server, *command(server, folder / "short", SIXTY))
    long = measured(server, *command(server, folder / "long", TWO_YEARS))
    server.behave()
    again = measured(server, *command(server, folder / "long", TWO_YEARS))
    print("730 days x 1,000 rows")
    print(f"  memory   {long.memory:.0f} MB, {long.memory / short.memory:.2f} x that of 60 days")
    print(f"  time     {long.wall:.1f} s, {long.figures['rows_per_second']} rows/s")
    calls = len(server.log()["headers"])
    print(f"  again    {again.wall:.2f} s, {calls} calls (wanted: 0.3 s, 0 calls)")


def kills(server: AdsServer, folder: Path) -> None:
    """Kill a run of 200 days ten times, then let it end."""
    moments, twice = random.Random(7), 0
    words = command(server, folder / "killed", TWO_HUNDRED)
    for _ in range(10):
        server.behave(rows=100, latency=0.05)
        done = recorded(folder / "killed")
        with subprocess.Popen(
            [sys.executable, "-m", *words], cwd=ROOT, env=server.environment
        ) as process:
            wait_for(server, process, moments.randint(1, 30))
            process.kill()
        twice += len(done & set(server.log()["days"]))
    done = recorded(folder / "killed")
    server.behave(rows=100)
    measured(server, *words)
    twice += len(done & set(server.log()["days"]))
    with (folder / "killed" / f"{CUSTOMER}-campaign" / "all.csv").open(newline="") as lines:
        days = [row["segments.date"] for row in csv.DictReader(lines)]
    print("200 days x 100 rows, killed ten times")
    print(f"  days {len(set(days))}, rows {len(days)}, finished days asked again {twice}")


def recorded(out: Path) -> set[str]:
    """Return the days that the manifest holds."""
    manifest = out / f"{CUSTOMER}-campaign" / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True) if manifest.exists() else []
    return {json.loads(line)["day"] for line in lines if line.endswith("\n")}


def wait_for(server: AdsServer, process: subprocess.Popen[bytes], calls: int) -> None:
    """Wait until a run has asked for so many days, or ended."""
    while len(server.log()["days"]) < calls and process.poll() is None:
        time.sleep(0.005)


def run(quick: bool) -> None:
    """Run all of it, or only what is quick."""
    parts = (speed,) if quick else (speed, memory, kills)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ads_server(folder) as server:
            for part in parts:
                part(server, folder)


if __name__ == "__main__":
    run(quick=False)
