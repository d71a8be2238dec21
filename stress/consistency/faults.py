"""Faults of Redis, of the workers, of writers and of a replica."""

import random
import threading
import time
from collections.abc import Callable, Collection
from functools import partial

from stack.servers import Redis, Standby
from stress import faults
from stress.faults import ALL_WORKERS, FaultInjector, Faults, Schedule
from stress.service import Service

FREEZES = {f"Redis frozen 10 times for {seconds} s": seconds for seconds in (0.05, 0.15)}
WRITER_KILLED = "writer killed before its invalidation"
REPLAY_PAUSED = "replay of the replica paused"
PARTIAL_OUTAGES = frozenset({"Redis frozen", *FREEZES, WRITER_KILLED})
"""Some processes may reach Redis while others do not: a read may be late in these alone."""
WORKERS_END = frozenset({"worker killed", "all workers killed", "workers replaced (HUP)"})
CACHE_FILLED_SECONDS = 1.5
"""After it, the cache is in use again and holds responses."""


class ConsistencyFaults(FaultInjector):
    """Inject one fault of Redis, one of the workers, one of writers and one of a replica at a time.

    Without ``redis`` there are only those of the workers: nothing has to be sent, and so a writer
    that is killed after its commit is like any other. ``kill_writer`` commits a write and is killed
    then. ``only`` selects faults by name, and injects them with shorter pauses; ``pause`` sets the
    seconds between two faults of Redis. ``announce`` is told when a fault begins and ends.
    """

    def __init__(
        self,
        redis: Redis | None,
        service: Service,
        writing_allowed: threading.Event,
        seed: int,
        *,
        standby: Standby | None = None,
        kill_writer: Callable[[random.Random], None] | None = None,
        only: Collection[str] = (),
        pause: float | None = None,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._service, self._writing_allowed = service, writing_allowed

        def selected(all_faults: Faults) -> Faults:
            return {name: all_faults[name] for name in all_faults if not only or name in only}

        pauses = (0.0, 1.0) if only else (1.0, 3.0)
        if pause is not None:
            pauses = (pause, pause)
        schedules = {
            "workers": Schedule(selected(self._worker_faults()), (1.5, 4.0)),
        }
        if redis is not None:
            schedules["redis"] = Schedule(selected(self._redis_faults(redis)), pauses)
        if kill_writer is not None:
            schedules["writers"] = Schedule(selected({WRITER_KILLED: kill_writer}), (2.0, 6.0))
        if standby is not None:
            schedules["replica"] = Schedule(selected(_replica_faults(standby)), (0.2, 1.0))
        super().__init__(seed, schedules, announce)

    def _redis_faults(self, redis: Redis) -> Faults:
        return {
            "Redis killed": lambda rng: faults.restart_empty(redis, rng.uniform(0.1, 1.5)),
            "Redis frozen": lambda rng: faults.freeze(redis, rng.uniform(0.2, 2.5)),
            **{
                name: partial(faults.freeze_repeatedly, redis, seconds)
                for name, seconds in FREEZES.items()
            },
            "Redis restarted with old data": partial(_restart_with_old_data, redis),
            "Redis restarted with old data, no writes": partial(
                self._restart_without_writes, redis
            ),
            "Redis full": lambda rng: faults.fill_memory(redis, rng.uniform(0.3, 1.5)),
        }

    def _worker_faults(self) -> Faults:
        service = self._service
        return {
            "worker killed": lambda rng: faults.kill_workers(service, rng, 1),
            "all workers killed": lambda rng: faults.kill_workers(service, rng, ALL_WORKERS),
            "workers replaced (HUP)": lambda _: service.reload(),
        }

    def _restart_without_writes(self, redis: Redis, rng: random.Random) -> None:
        """Restart with no writes afterwards, whose invalidations would hide the old data."""
        time.sleep(CACHE_FILLED_SECONDS)
        redis.save()
        time.sleep(rng.uniform(0.2, 0.5))
        self._writing_allowed.clear()
        time.sleep(0.1)
        redis.kill()
        redis.start()
        time.sleep(rng.uniform(1.0, 2.0))
        self._writing_allowed.set()


def _replica_faults(standby: Standby) -> Faults:
    return {
        REPLAY_PAUSED: lambda rng: faults.pause_replay(standby, rng.uniform(0.2, 5.0)),
        "replica killed": lambda rng: faults.restart(standby, rng.uniform(0.1, 1.5)),
    }


def _restart_with_old_data(redis: Redis, rng: random.Random) -> None:
    time.sleep(CACHE_FILLED_SECONDS)
    faults.restart_with_old_data(redis, rng.uniform(0.0, 0.5), rng.uniform(0.0, 1.0))
