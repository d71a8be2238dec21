"""Two hundred accounts under one budget that runs out twice, with kill -9: nothing is lost.

A local Google Ads server has a manager with a cancelled account, one without permission, and
one with a day that fails. Runs are repeated on simulated days until all days are fetched. On a
Dask cluster a worker is killed in the middle of the run of each day, and another one is started.
"""

import argparse
import csv
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "adsfetch"))

from adsserver.launch import AdsServer, ads_server  # type: ignore[import-not-found]  # noqa: E402
from dask_cluster import DaskCluster, dask_cluster  # type: ignore[import-not-found]  # noqa: E402

from stress.threads import wait_until  # noqa: E402

MANAGER, FIRST, DAY_ONE = "9000000000", date(2024, 1, 1), date(2024, 6, 1)
ROWS, MAX_DAYS = 3, 12
FAILURES = 5
"""How often the day that fails does so: as often as a run tries it."""
REFUSED_EXIT = 3
CALLS_AT_ONCE = 16
"""Of so many calls, and of so many days that wait to be stored, the outcome is lost by a kill."""
RUN_SECONDS = 900


class Agency:
    """The accounts, and the folder into which they are fetched; by a ``cluster``, if there is one.

    ``killed_workers`` counts the workers that were killed during a run.
    """

    def __init__(
        self,
        server: AdsServer,
        folder: Path,
        options: argparse.Namespace,
        cluster: DaskCluster | None = None,
    ) -> None:
        self.server, self.folder, self.options = server, folder, options
        self.cluster, self.killed_workers = cluster, 0
        self.random = random.Random(options.seed)
        self.ids = [str(1_000_000_000 + number) for number in range(options.accounts)]
        self.refused, self.failing, self.cancelled = self.random.sample(self.ids, 3)
        self.days = [str(FIRST + timedelta(number)) for number in range(options.days)]
        self.failing_day = self.random.choice(self.days[-options.days // 4 :])  # on the first day
        self.kills = options.kills
        self.limit = len(self.ids) * options.days * 3 // 8  # all of them need two such days more
        self.exit_codes: list[int] = []
        self.spent: list[int] = []

    def behave(self) -> None:
        """Tell the server about the accounts."""
        clients: list[dict[str, Any]] = [{"id": each} for each in self.ids]
        clients[self.ids.index(self.cancelled)]["status"] = "CANCELED"
        day = self.failing_day
        refusal = {"do": "permission", "customer": self.refused, "times": 1_000}
        failure = {"do": "internal", "customer": self.failing, "day": day, "times": FAILURES}
        self.server.behave(refusal, failure, clients=clients, rows=ROWS, latency=0.005)

    def run_until_complete(self) -> None:
        """Run once on each simulated day, and again after each kill."""
        for number in range(MAX_DAYS):
            before = self._calls()
            # Every other day: the operations of a day count for 24 hours and some minutes.
            today = DAY_ONE + timedelta(2 * number)
            while self.kills and self._run(today, kill=True):
                pass
            self._run(today, kill=False)
            self.spent.append(self._calls() - before)
            if self.exit_codes[-1] == REFUSED_EXIT and not self._missing():
                return

    def _run(self, today: date, *, kill: bool) -> bool:
        """Run the command, and return whether it was killed."""
        command = [sys.executable, "-m", "adsfetch", "fetch", self.days[0], self.days[-1]]
        command += ["--manager", MANAGER, "--config", str(self.server.config)]
        command += ["--out", str(self.folder), "--today", str(today), "--lookback", "0"]
        command += ["--daily-operations", str(self.limit), "--wait-initial", "0.01", "--quiet"]
        command += ["--executor", self.cluster.address] if self.cluster else []
        command += self.options.option
        with subprocess.Popen(
            command, env=environment_of(self.server), stderr=subprocess.DEVNULL
        ) as process:
            if kill:
                time.sleep(self.random.uniform(0.8, 3.0))
                if process.poll() is None:
                    process.kill()
                    self.kills -= 1
                    return True
            elif self.cluster:
                self._kill_a_worker(process, self.cluster)
            self.exit_codes.append(process.wait())
        return False

    def _kill_a_worker(self, run: "subprocess.Popen[bytes]", cluster: DaskCluster) -> None:
        """Kill a worker after some calls of a run, if it makes so many, and start another."""
        calls = self._calls() + self.random.randint(1, self.limit // 2)

        def is_reached() -> bool:
            return run.poll() is not None or self._calls() >= calls

        wait_until(is_reached, RUN_SECONDS, 0.1)
        if run.poll() is None:
            self.random.choice(cluster.workers).kill()
            self.killed_workers += 1
            cluster.have_workers(self.options.dask)

    def _calls(self) -> int:
        return len(self.server.log()["calls"])

    def rows(self) -> Counter[tuple[str, str]]:
        """Return the number of rows of each account and day in the file of all accounts."""
        path = self.folder / "all" / "campaign.csv"
        if not path.exists():
            return Counter()
        with path.open(newline="", encoding="utf-8") as lines:
            return Counter(
                (row["customer_id"], row["segments.date"]) for row in csv.DictReader(lines)
            )

    def _missing(self) -> set[tuple[str, str]]:
        return self.wanted() - self.rows().keys()

    def wanted(self) -> set[tuple[str, str]]:
        """Return all days that can be fetched."""
        ids = set(self.ids) - {self.refused, self.cancelled}
        return {(each, day) for each in ids for day in self.days}

    def check(self) -> list[str]:
        """Return what is wrong."""
        rows, wrong = self.rows(), []
        if set(rows) != self.wanted():
            wrong.append(f"{len(set(rows) ^ self.wanted())} days are missing or too many")
        if wrong_days := [day for day, count in rows.items() if count != ROWS]:
            wrong.append(f"{len(wrong_days)} days have other rows than the source")
        if max(self.spent) > self.limit:
            wrong.append(f"{max(self.spent)} operations, but the budget has {self.limit}")
        fetched = Counter(tuple(call) for call in self.server.log()["calls"] if call[1])
        fetched[self.failing, self.failing_day] -= FAILURES
        repeated = sum(count - 1 for call, count in fetched.items() if call in rows)
        lost = 2 * CALLS_AT_ONCE * self.options.kills + CALLS_AT_ONCE * self.killed_workers
        if repeated > lost:
            wrong.append(f"{repeated} days were fetched twice, at most {lost} can have been lost")
        if self.cluster and not self.killed_workers:
            wrong.append("no worker was killed during a run")
        return wrong


def environment_of(server: AdsServer) -> dict[str, str]:
    """Return the environment of processes that run adsfetch."""
    return {**server.environment, "PYTHONPATH": str(ROOT)}


@contextmanager
def cluster_of(workers: int, server: AdsServer) -> Iterator[DaskCluster | None]:
    """Run a Dask cluster that has threads for all calls; none for no worker."""
    if not workers:
        yield None
        return
    folder, threads = server.folder / "dask", CALLS_AT_ONCE // workers
    with dask_cluster(folder, environment_of(server), workers, threads) as cluster:
        yield cluster


def main() -> None:
    """Run the check, print what happened, and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m stress.agency", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--kills", type=int, default=0, help="number of kill -9")
    parser.add_argument("--dask", type=int, default=0, metavar="WORKERS", help="use a Dask cluster")
    parser.add_argument("option", nargs="*", help="more options of adsfetch fetch, after --")
    options = parser.parse_args()
    began = time.monotonic()
    with (
        TemporaryDirectory() as folder,
        ads_server(Path(folder)) as server,
        cluster_of(options.dask, server) as cluster,
    ):
        agency = Agency(server, Path(folder) / "data", options, cluster)
        agency.behave()
        agency.run_until_complete()
        wrong = agency.check()
        print(f"{len(agency.ids)} accounts, {len(agency.days)} days, {options.kills} kills")
        if cluster:
            print(f"{options.dask} Dask workers, {agency.killed_workers} killed during a run")
        print(f"operations by simulated day: {agency.spent}, of {agency.limit} allowed")
        print(f"exit codes: {agency.exit_codes}; {agency.rows().total():,} rows")
        print(f"{time.monotonic() - began:.0f} s; seed {options.seed}")
    print("\n".join(wrong) or "passed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
