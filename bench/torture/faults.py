"""What happens to Redis and to the workers, in an order that the seed chooses."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import redis as redis_py

from bench.service import Service
from stack.servers import Redis

PARTIAL = frozenset({"frozen", "stutters of 0.05 s", "stutters of 0.15 s"})
"""Some may reach Redis while others do not: for these alone a bound is stated."""

CALM = 1.5
"""Seconds after which the cache is surely in use again, and so has something to remember."""


@dataclass(frozen=True)
class Fault:
    """One fault, from its beginning until it was mended."""

    kind: str
    began: float
    ended: float


class Faults:
    """Makes faults, one of Redis and one of the workers at a time, until told to stop."""

    def __init__(
        self,
        redis: Redis,
        service: Service,
        writing: threading.Event,
        seed: int,
        only: Collection[str] = (),
    ) -> None:
        self.made: list[Fault] = []
        self._redis, self._service, self._writing = redis, service, writing
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(
                target=self._go_on, args=(chosen, random.Random(f"{seed} {name}"), gap)
            )
            for name, kinds, gap in (
                ("redis", self._redis_faults(), (1.0, 3.0)),
                ("workers", self._worker_faults(), (1.5, 4.0)),
            )
            if (chosen := {kind: kinds[kind] for kind in kinds if not only or kind in only})
        ]

    def _redis_faults(self) -> dict[str, Callable[[random.Random], None]]:
        return {
            "killed": self._kill,
            "frozen": self._freeze,
            "stutters of 0.05 s": lambda chance: self._stutter(chance, 0.05),
            "stutters of 0.15 s": lambda chance: self._stutter(chance, 0.15),
            "back with its old memory": self._kill_and_remember,
            "back so, no writes": self._kill_and_remember_alone,
            "full": self._fill,
        }

    def _worker_faults(self) -> dict[str, Callable[[random.Random], None]]:
        return {
            "worker killed": lambda chance: self._kill_workers(chance, 1),
            "all workers killed": lambda chance: self._kill_workers(chance, 99),
            "workers replaced (HUP)": lambda _: self._service.reload(),
        }

    def __enter__(self) -> "Faults":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _go_on(
        self,
        kinds: dict[str, Callable[[random.Random], None]],
        chance: random.Random,
        gap: tuple[float, float],
    ) -> None:
        try:
            for kind in _decks(list(kinds), chance):
                if self._stop.wait(chance.uniform(*gap)):
                    return
                began = time.monotonic()
                kinds[kind](chance)
                self.made.append(Fault(kind, began, time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - raised again where it is heard
            self._failed.append(error)

    def _kill(self, chance: random.Random) -> None:
        self._redis.kill()
        self._redis.wipe()
        time.sleep(chance.uniform(0.1, 1.5))
        self._redis.start()

    def _kill_and_remember(self, chance: random.Random) -> None:
        time.sleep(CALM)
        self._redis.save()
        time.sleep(chance.uniform(0.0, 0.5))
        self._redis.kill()
        time.sleep(chance.uniform(0.0, 1.0))
        self._redis.start()

    def _kill_and_remember_alone(self, chance: random.Random) -> None:
        """Do the same with no write meanwhile: none hides the old memory by what it forgets."""
        time.sleep(CALM)
        self._redis.save()
        time.sleep(chance.uniform(0.2, 0.5))
        self._writing.clear()
        time.sleep(0.1)
        self._redis.kill()
        self._redis.start()
        time.sleep(chance.uniform(1.0, 2.0))
        self._writing.set()

    def _freeze(self, chance: random.Random) -> None:
        self._redis.freeze()
        time.sleep(chance.uniform(0.2, 2.5))
        self._redis.thaw()

    def _stutter(self, chance: random.Random, seconds: float) -> None:
        for _ in range(10):
            self._redis.freeze()
            time.sleep(seconds)
            self._redis.thaw()
            time.sleep(chance.uniform(0.5, 1.5) * seconds)

    def _fill(self, chance: random.Random) -> None:
        restrict(self._redis, 1)
        time.sleep(chance.uniform(0.3, 1.5))
        restrict(self._redis, 0)

    def _kill_workers(self, chance: random.Random, most: int) -> None:
        workers = self._service.workers()
        for worker in chance.sample(workers, min(most, len(workers))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def restrict(server: Redis, bytes_: int) -> None:
    """Let Redis hold no more than so much, and refuse what would need more; 0 is no limit."""
    with redis_py.Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", bytes_)


def _decks(kinds: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Give all kinds in a random order, again and again, so that a short run meets each."""
    while True:
        yield from chance.sample(kinds, len(kinds))
