"""Faults of hosts, of the network between them, and of the servers that have a replica."""

import random
import time
from collections.abc import Collection

from stress.consistency.checker import Tolerated
from stress.faults import FaultInjector, Faults, Schedule
from stress.hosts.cluster import AppHost, Cluster
from stress.threads import wait_until

HOST_KILLED, HOST_CUT_OFF = "app host killed", "app host cut off"
HOST_SLOW = "app host behind a slow network"
CUT_OFF_FROM_REDIS = "app host cut off from Redis"
REDIS_KILLED, REDIS_FROZEN = "Redis master killed", "Redis master frozen"
PRIMARY_KILLED = "PostgreSQL primary killed"
REPLAY_PAUSED = "replay of the standby paused"
TOLERATED = Tolerated(
    late=frozenset({HOST_CUT_OFF, HOST_SLOW, CUT_OFF_FROM_REDIS, REDIS_KILLED, REDIS_FROZEN}),
    broken=frozenset({HOST_KILLED, HOST_CUT_OFF, HOST_SLOW}),
    # A host that is cut off has no primary: it says so to requests that it had received before.
    unavailable=frozenset({PRIMARY_KILLED, HOST_CUT_OFF}),
)
DELAY_MS, LOST_PERCENT = 100, 5
LAG_SECONDS = 5.0
PROMOTED_SECONDS = 30.0
"""A Sentinel that was elected promotes the replica long before that."""


class HostFaults(FaultInjector):
    """Inject one fault at a time, when everything is in order; ``only`` selects some by name."""

    def __init__(self, cluster: Cluster, seed: int, only: Collection[str] = ()) -> None:
        self._cluster = cluster
        faults = {name: each for name, each in self._faults().items() if not only or name in only}
        schedule = Schedule(faults, (2.0, 4.0), cluster.repair)
        super().__init__(seed, {"hosts": schedule}, announce)

    def _faults(self) -> Faults:
        cluster = self._cluster
        return {
            HOST_KILLED: lambda rng: _kill_host(rng.choice(cluster.apps), rng),
            HOST_CUT_OFF: lambda rng: _cut_off(rng.choice(cluster.apps), rng),
            CUT_OFF_FROM_REDIS: lambda rng: self._cut_off_from_redis(rng.choice(cluster.apps), rng),
            HOST_SLOW: lambda rng: _slow_down(rng.choice(cluster.apps), rng),
            REDIS_KILLED: self._kill_redis,
            REDIS_FROZEN: self._freeze_redis,
            PRIMARY_KILLED: lambda _: cluster.fail_over(),
            REPLAY_PAUSED: lambda _: self._pause_replay(),
        }

    def _cut_off_from_redis(self, app: AppHost, rng: random.Random) -> None:
        cluster = self._cluster
        app.host.cut_off(*(server.on for server in (*cluster.redis_servers, *cluster.sentinels)))
        time.sleep(rng.uniform(2.0, 5.0))
        app.host.heal()

    def _kill_redis(self, rng: random.Random) -> None:
        """Kill the master; it comes back, empty, before or after its replica is promoted."""
        master, replica = self._cluster.redis_servers
        master.kill()
        time.sleep(rng.uniform(0.5, 4.0))
        master.start()
        wait_until(lambda: replica.is_master() or master.is_master(), PROMOTED_SECONDS)

    def _freeze_redis(self, rng: random.Random) -> None:
        """Suspend the master until its replica is promoted; then it says that it is one too."""
        master, replica = self._cluster.redis_servers
        master.freeze()
        wait_until(replica.is_master, PROMOTED_SECONDS)
        time.sleep(rng.uniform(0.0, 2.0))
        master.thaw()
        wait_until(master.is_replicating, PROMOTED_SECONDS)

    def _pause_replay(self) -> None:
        self._cluster.standby.pause_replay()
        time.sleep(LAG_SECONDS)
        self._cluster.standby.resume_replay()


def announce(event: str) -> None:
    """Print what happens, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {event}", flush=True)


def _kill_host(app: AppHost, rng: random.Random) -> None:
    app.kill()
    time.sleep(rng.uniform(0.5, 3.0))
    app.start()


def _cut_off(app: AppHost, rng: random.Random) -> None:
    app.host.cut_off()
    time.sleep(rng.uniform(2.0, 6.0))
    app.host.heal()


def _slow_down(app: AppHost, rng: random.Random) -> None:
    app.host.slow_down(DELAY_MS, LOST_PERCENT)
    time.sleep(rng.uniform(4.0, 6.0))
    app.host.heal()
