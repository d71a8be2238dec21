"""What happens to Redis and to the workers, in an order that the seed chooses."""

import random
import signal
import time
from collections.abc import Sequence

from stack.servers import Redis
from stress.faults import Deck, Faulty, Kinds, end_workers, restrict
from stress.service import Service

FROZEN = 2.0
TOLD = signal.SIGTERM


class Faults(Faulty):
    """Makes faults, one of Redis and one of the workers at a time, until told to stop."""

    def __init__(
        self,
        redis: Redis | None,
        services: Sequence[Service],
        seed: int,
        gap: tuple[float, float] = (0.5, 2.5),
    ) -> None:
        self._services = services
        redis_deck = Deck(self._of_redis(redis) if redis else {}, gap)
        super().__init__(seed, {"redis": redis_deck, "workers": Deck(self._of_workers(), gap)})

    def _of_redis(self, redis: Redis) -> Kinds:
        return {
            "Redis killed, back empty": lambda _: self._restart(redis, remembers=False),
            "Redis killed, back with its old memory": lambda _: self._restart(
                redis, remembers=True
            ),
            f"Redis frozen for {FROZEN:g} s": lambda _: self._freeze(redis),
            "Redis full": lambda _: self._fill(redis),
        }

    def _of_workers(self) -> Kinds:
        live, rest = self._services
        return {
            "worker of subscribers killed": lambda chance: self._end(live, chance, 1),
            "all workers of subscribers killed": lambda chance: self._end(live, chance, 99),
            "worker of subscribers told to end": lambda chance: self._end(live, chance, 1, TOLD),
            "worker of REST killed": lambda chance: self._end(rest, chance, 1),
        }

    def _restart(self, redis: Redis, *, remembers: bool) -> None:
        if remembers:
            redis.save()
            self.stopping.wait(1.0)  # what comes now it will not remember
        redis.kill()
        if not remembers:
            redis.wipe()
        time.sleep(0.3)
        redis.start()

    def _freeze(self, redis: Redis) -> None:
        redis.freeze()
        time.sleep(FROZEN)
        redis.thaw()

    def _fill(self, redis: Redis) -> None:
        restrict(redis, 1)
        self.stopping.wait(1.0)
        restrict(redis, 0)

    def _end(
        self, service: Service, chance: random.Random, most: int, how: int = signal.SIGKILL
    ) -> None:
        end_workers(service, chance, most, how)
        # The next fault is to meet a service, not its absence: on a busy machine a start is slow.
        while not service.is_ready():
            time.sleep(0.05)
