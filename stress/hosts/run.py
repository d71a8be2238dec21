"""The run inside its namespaces: `python -m stress.hosts` starts it there."""

import random
import sys

import click

from stress.broken import BROKEN_CACHE, application
from stress.consistency.checker import Result, check
from stress.consistency.clients import Clients
from stress.consistency.history import History
from stress.consistency.run import create_moderator, run_clients, undelivered
from stress.data import create_unpooled_engine
from stress.hosts.cluster import Cluster
from stress.hosts.faults import TOLERATED, HostFaults
from stress.hosts.recovery import recoveries


@click.command()
@click.option("--seconds", default=180.0, show_default=True, help="Duration of the faults.")
@click.option("--seed", type=int, help="Repeat the choices of faults and requests of a run.")
@click.option("--only", multiple=True, metavar="FAULT", help="Inject this fault, not all.")
@click.option("--pgbouncer", is_flag=True, help="Reach PostgreSQL through PgBouncer.")
@click.option("--broken", type=click.Choice([*BROKEN_CACHE]), help="Break the service on purpose.")
def main(
    *, seconds: float, seed: int | None, only: tuple[str, ...], pgbouncer: bool, broken: str | None
) -> None:
    """Check every response while hosts and links fail; exit 1 if one was wrong."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"hosts: {seconds:g} s, seed {seed}", flush=True)
    with Cluster(application("asgi", broken), pgbouncer=pgbouncer) as cluster:
        result = check_consistency(cluster, seconds, seed, only)
    sys.exit(0 if result.passed else 1)


def check_consistency(cluster: Cluster, seconds: float, seed: int, only: tuple[str, ...]) -> Result:
    """Run readers and writers through HAProxy while faults are injected; print the result."""
    engine = create_unpooled_engine(cluster.direct_url)
    history = History(engine)
    history.begin()
    clients = Clients(cluster.port, seed, moderator=create_moderator(engine))
    injector = HostFaults(cluster, seed, only)
    run_clients(clients, injector, engine, seconds=seconds)
    result = check(
        clients.records,
        injector.injected,
        history.read(),
        is_older=history.is_older,
        undelivered=undelivered(engine),
        tolerated=TOLERATED,
    )
    for line in recoveries(clients.records, injector.injected):
        print(line)
    print(result, flush=True)
    return result


if __name__ == "__main__":
    main(prog_name="python -m stress.hosts")
