"""What happens to Redis and to the workers, in an order that the seed chooses."""

import random
import threading
import time
from collections.abc import Collection

from stack.servers import Redis
from stress.faults import Deck, Faulty, Kinds, end_workers, restrict
from stress.service import Service

PARTIAL = frozenset({"frozen", "stutters of 0.05 s", "stutters of 0.15 s"})
"""Some may reach Redis while others do not: for these alone a bound is stated."""

CALM = 1.5
"""Seconds after which the cache is surely in use again, and so has something to remember."""


class Faults(Faulty):
    """Makes faults, one of Redis and one of the workers at a time, until told to stop."""

    def __init__(
        self,
        redis: Redis,
        service: Service,
        writing: threading.Event,
        seed: int,
        only: Collection[str] = (),
    ) -> None:
        self._redis, self._service, self._writing = redis, service, writing

        def chosen(kinds: Kinds) -> Kinds:
            return {kind: kinds[kind] for kind in kinds if not only or kind in only}

        redis_deck = Deck(chosen(self._redis_faults()), (1.0, 3.0))
        workers_deck = Deck(chosen(self._worker_faults()), (1.5, 4.0))
        super().__init__(seed, {"redis": redis_deck, "workers": workers_deck})

    def _redis_faults(self) -> Kinds:
        return {
            "killed": self._kill,
            "frozen": self._freeze,
            "stutters of 0.05 s": lambda chance: self._stutter(chance, 0.05),
            "stutters of 0.15 s": lambda chance: self._stutter(chance, 0.15),
            "back with its old memory": self._kill_and_remember,
            "back so, no writes": self._kill_and_remember_alone,
            "full": self._fill,
        }

    def _worker_faults(self) -> Kinds:
        return {
            "worker killed": lambda chance: end_workers(self._service, chance, 1),
            "all workers killed": lambda chance: end_workers(self._service, chance, 99),
            "workers replaced (HUP)": lambda _: self._service.reload(),
        }

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
