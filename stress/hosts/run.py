"""The run inside its namespaces: `python -m stress.hosts` starts it there."""

import random
import sys
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from stress.broken import BROKEN_CACHE, application
from stress.consistency.checker import check as check_records
from stress.consistency.clients import Clients
from stress.consistency.history import History
from stress.consistency.run import create_moderator, run_clients, undelivered
from stress.data import create_unpooled_engine
from stress.hosts.cluster import Cluster
from stress.hosts.faults import TOLERATED, HostFaults
from stress.hosts.network import ADDRESS
from stress.hosts.recovery import recoveries
from stress.subscriptions.feed import TIMEOUT, Feed
from stress.subscriptions.writers import Loads

CONSISTENCY, SUBSCRIPTIONS = CHECKS = ("consistency", "subscriptions")
FOLLOWERS, WRITERS = 24, 4


@click.command()
@click.option("--seconds", default=180.0, show_default=True, help="Duration of each check.")
@click.option("--seed", type=int, help="Repeat the choices of faults and requests of a run.")
@click.option("--only", multiple=True, metavar="FAULT", help="Inject this fault, not all.")
@click.option("--check", type=click.Choice(CHECKS), help="Run this check, not both.")
@click.option("--pgbouncer", is_flag=True, help="Reach PostgreSQL through PgBouncer.")
@click.option("--broken", type=click.Choice([*BROKEN_CACHE]), help="Break the service on purpose.")
def main(
    *,
    seconds: float,
    seed: int | None,
    only: Collection[str],
    check: str | None,
    pgbouncer: bool,
    broken: str | None,
) -> None:
    """Check responses and the feed while hosts and links fail; exit 1 if anything was wrong."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"hosts: {seconds:g} s for each check, seed {seed}", flush=True)
    with Cluster(application("asgi", broken), pgbouncer=pgbouncer) as cluster:
        run = Run(cluster, seed, seconds, only)
        passed = [each() for name, each in run.checks.items() if check in {None, name}]
    sys.exit(0 if all(passed) else 1)


class Run:
    """Two checks of one cluster, with clients that use it through HAProxy."""

    def __init__(self, cluster: Cluster, seed: int, seconds: float, only: Collection[str]) -> None:
        self._cluster, self._seed, self._seconds, self._only = cluster, seed, seconds, only
        self._engine = create_unpooled_engine(cluster.url_of("read-write"))
        self._history = History(self._engine)
        self._history.begin()
        self.checks = {CONSISTENCY: self._check_consistency, SUBSCRIPTIONS: self._check_feed}

    def _check_consistency(self) -> bool:
        """Check what readers and writers see; print the result, and return whether it is right."""
        moderator = create_moderator(self._engine)
        clients = Clients(self._cluster.port, self._seed, moderator=moderator)
        injector = HostFaults(self._cluster, self._seed, self._only)
        run_clients(clients, injector, self._engine, seconds=self._seconds)
        result = check_records(
            clients.records,
            injector.injected,
            self._history.read(),
            is_older=self._history.is_older,
            undelivered=undelivered(self._engine),
            tolerated=TOLERATED,
        )
        print(*recoveries(clients.records, injector.injected), result, sep="\n", flush=True)
        return result.passed

    def _check_feed(self) -> bool:
        """Check what followers of the feed receive; print, and return whether it is right."""
        injector = HostFaults(self._cluster, self._seed, self._only)
        with TemporaryDirectory() as folder:
            feed = Feed(
                engine=self._engine,
                history=self._history,
                seed=self._seed,
                ports=[self._cluster.port],
                followers=FOLLOWERS,
                writers=WRITERS,
                loads=Loads(Path(folder), self._cluster.settings, self._seed),
                receiver=ADDRESS,
            )
            result = feed.check(injector, self._seconds, TIMEOUT)
        print(result, flush=True)
        return result.passed


if __name__ == "__main__":
    main(prog_name="python -m stress.hosts")
