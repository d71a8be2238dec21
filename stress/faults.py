"""Faults of servers, injected in an order that a seed determines."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import redis as redis_py

from stack.process import Server
from stack.servers import Redis, Standby
from stress.service import Service
from stress.threads import WorkerThreads, wait_until

Faults = Mapping[str, Callable[[random.Random], None]]
"""Functions that inject a fault and repair it, by name."""
ALL_WORKERS = 99


@dataclass(frozen=True)
class Fault:
    """An injected fault, from its beginning until it was repaired."""

    name: str
    began: float
    ended: float


class Schedule(NamedTuple):
    """Faults that are injected one at a time."""

    faults: Faults
    pause: tuple[float, float]
    """Minimum and maximum of the seconds between two faults."""
    prepare: Callable[[], object] = lambda: None
    """Called before each fault, when the pause is over."""


class FaultInjector(WorkerThreads):
    """Inject the faults of several schedules at the same time."""

    def __init__(
        self,
        seed: int,
        schedules: Mapping[str, Schedule],
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.injected: list[Fault] = []
        self._announce = announce
        super().__init__(
            *(
                partial(self._inject, schedule, random.Random(f"{seed} {name}"))
                for name, schedule in schedules.items()
                if schedule.faults
            )
        )

    def _inject(self, schedule: Schedule, rng: random.Random) -> None:
        for name in _shuffled(list(schedule.faults), rng):
            if self.stopping.wait(rng.uniform(*schedule.pause)):
                return
            schedule.prepare()
            self._announce(name)
            began = time.monotonic()
            schedule.faults[name](rng)
            fault = Fault(name, began, time.monotonic())
            self.injected.append(fault)
            self._announce(f"{name}: over after {fault.ended - fault.began:.1f} s")


def _shuffled(names: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Yield all names in random order, repeatedly, so that a short run contains each."""
    while True:
        yield from rng.sample(names, len(names))


def signal_workers(
    service: Service, rng: random.Random, count: int, signal_number: int = signal.SIGKILL
) -> None:
    """Send a signal to ``count`` workers of a service, or to all if there are fewer."""
    workers = service.workers()
    for worker in rng.sample(workers, min(count, len(workers))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal_number)


def kill_workers(service: Service, rng: random.Random, count: int) -> None:
    """Kill workers, and wait until one responds: without any, asgi has no socket that listens."""
    signal_workers(service, rng, count)
    wait_until(service.is_ready, service.timeout)


def restart(server: Server, seconds: float) -> None:
    """Kill a server, and start it after ``seconds`` with the data that it last saved."""
    server.kill()
    time.sleep(seconds)
    server.start()


def pause_replay(standby: Standby, seconds: float) -> None:
    """Let a standby fall behind for ``seconds``."""
    standby.pause_replay()
    time.sleep(seconds)
    standby.resume_replay()


def restart_empty(redis: Redis, seconds: float) -> None:
    """Kill Redis, and start it without data after ``seconds``."""
    redis.kill()
    redis.wipe()
    restart(redis, seconds)


def restart_with_old_data(redis: Redis, age: float, seconds: float) -> None:
    """Save the data, kill Redis after ``age`` seconds, and start it after ``seconds``."""
    redis.save()
    time.sleep(age)
    restart(redis, seconds)


def freeze(redis: Redis, seconds: float) -> None:
    """Suspend Redis for ``seconds``."""
    redis.freeze()
    time.sleep(seconds)
    redis.thaw()


def freeze_repeatedly(redis: Redis, seconds: float, rng: random.Random) -> None:
    """Suspend Redis ten times for ``seconds``."""
    for _ in range(10):
        freeze(redis, seconds)
        time.sleep(rng.uniform(0.5, 1.5) * seconds)


def fill_memory(redis: Redis, seconds: float) -> None:
    """Let Redis refuse all writes for ``seconds``."""
    with redis_py.Redis.from_url(redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        time.sleep(seconds)
        client.config_set("maxmemory", 0)
