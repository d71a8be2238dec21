"""What happens to Redis and to the workers, in an order that the seed chooses."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.service import Service
from bench.torture.faults import restrict
from stack.servers import Redis

FROZEN = 2.0
TOLD = signal.SIGTERM
Kinds = Mapping[str, Callable[[], None]]


class Faults:
    """Makes faults, one of Redis and one of the workers at a time, until told to stop."""

    def __init__(
        self,
        redis: Redis | None,
        services: Sequence[Service],
        seed: int,
        gap: tuple[float, float] = (0.5, 2.5),
    ) -> None:
        self.made: list[str] = []
        self._redis, self._services, self._gap = redis, services, gap
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        chances = [random.Random(f"{seed} {name}") for name in ("redis", "workers")]
        kinds = [self._of_redis(redis) if redis else {}, self._of_workers(chances[1])]
        self._threads = [
            threading.Thread(target=self._go_on, args=(chosen, chance))
            for chosen, chance in zip(kinds, chances, strict=True)
            if chosen
        ]

    def _of_redis(self, redis: Redis) -> Kinds:
        return {
            "Redis killed, back empty": lambda: self._restart(redis, remembers=False),
            "Redis killed, back with its old memory": lambda: self._restart(redis, remembers=True),
            f"Redis frozen for {FROZEN:g} s": lambda: self._freeze(redis),
            "Redis full": lambda: self._fill(redis),
        }

    def _of_workers(self, chance: random.Random) -> Kinds:
        live, rest = self._services
        return {
            "worker of subscribers killed": lambda: self._end(live, chance, 1),
            "all workers of subscribers killed": lambda: self._end(live, chance, 99),
            "worker of subscribers told to end": lambda: self._end(live, chance, 1, TOLD),
            "worker of REST killed": lambda: self._end(rest, chance, 1),
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

    def _go_on(self, kinds: Kinds, chance: random.Random) -> None:
        try:
            for kind in _decks(list(kinds), chance):
                if self._stop.wait(chance.uniform(*self._gap)):
                    return
                kinds[kind]()
                self.made.append(kind)
        except BaseException as error:  # noqa: BLE001 - raised again where it is heard
            self._failed.append(error)

    def _restart(self, redis: Redis, *, remembers: bool) -> None:
        if remembers:
            redis.save()
            self._stop.wait(1.0)  # what comes now it will not remember
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
        self._stop.wait(1.0)
        restrict(redis, 0)

    def _end(
        self, service: Service, chance: random.Random, most: int, how: int = signal.SIGKILL
    ) -> None:
        workers = service.workers()
        for worker in chance.sample(workers, min(most, len(workers))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, how)
        # The next fault is to meet a service, not its absence: on a busy machine a start is slow.
        while not service.answers():
            time.sleep(0.05)


def _decks(kinds: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Give all kinds in a random order, again and again, so that a short run meets each."""
    while True:
        yield from chance.sample(kinds, len(kinds))
