"""adsfetch on a Dask cluster of one, two and four workers, on a load that waits for the server."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from stress.service import ROOT

sys.path.insert(0, str(ROOT / "tests" / "adsfetch"))

from adsserver.launch import AdsServer, ads_server
from dask_cluster import DaskCluster, dask_cluster

WORKERS = (1, 2, 4)
THREADS = 4
ACCOUNTS, DAYS = 16, ("2024-01-01", "2024-01-10")
LATENCY, ROWS = 0.5, 100
ROUNDS = 3


def run(quick: bool) -> None:
    """Measure each number of workers after a run in which they import the client library."""
    seconds = {}
    with tempfile.TemporaryDirectory() as name, ads_server(Path(name)) as server:
        for workers in WORKERS[:2] if quick else WORKERS:
            folder = Path(name) / f"cluster{workers}"
            with dask_cluster(folder, server.environment, workers, THREADS) as cluster:
                seconds[workers] = _measure(server, cluster, 1 if quick else ROUNDS)
        seconds[0] = _fetch(server, f"{name}/threads", "threads", THREADS)
    print(f"{ACCOUNTS} accounts x 10 days x {ROWS} rows, {LATENCY * 1000:.0f} ms latency")
    print(f"  {THREADS} threads of one process  fetch {seconds.pop(0):.2f} s")
    for workers, fetch in seconds.items():
        ratio = seconds[1] / fetch
        print(f"  {workers} workers x {THREADS} threads     fetch {fetch:.2f} s, ratio {ratio:.2f}")


def _measure(server: AdsServer, cluster: DaskCluster, rounds: int) -> float:
    """Return the median of the seconds to fetch."""
    folder = cluster.folder / "data"
    calls = len(cluster.workers) * THREADS
    _fetch(server, f"{folder}-warm", cluster.address, calls, latency=0.0)
    return median(
        _fetch(server, f"{folder}-{number}", cluster.address, calls) for number in range(rounds)
    )


def _fetch(
    server: AdsServer, out: str, executor: str, calls: int, latency: float = LATENCY
) -> float:
    """Run a fetch of all accounts into a new folder; return the seconds to fetch."""
    server.behave(rows=ROWS, latency=latency)
    ids = [option for n in range(ACCOUNTS) for option in ("--customer-id", f"10000000{n:02}")]
    options = ["--config", str(server.config), "--today", "2024-06-01", "--json", "--out", out]
    options += ["--executor", executor, "--workers", str(calls)]
    done = subprocess.run(
        [sys.executable, "-m", "adsfetch", "fetch", *DAYS, *ids, *options],
        cwd=ROOT,
        env=server.environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    record: dict[str, Any] = json.loads(done.stdout)
    assert record["days_fetched"] == ACCOUNTS * 10
    return float(record["fetch_seconds"])
