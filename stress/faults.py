"""Faults of servers, made while others work, in an order that a seed chooses."""

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

from stack.servers import Redis
from stress.service import Service
from stress.threads import Crew

Kinds = Mapping[str, Callable[[random.Random], None]]


@dataclass(frozen=True)
class Fault:
    """One fault, from its beginning until it was mended."""

    kind: str
    began: float
    ended: float


class Deck(NamedTuple):
    """Faults of which one is made at a time."""

    kinds: Kinds
    gap: tuple[float, float]
    """Seconds between two of them, at least and at most."""


class Faulty(Crew):
    """Makes faults of each deck, one deck beside the other, until told to stop."""

    def __init__(self, seed: int, decks: Mapping[str, Deck]) -> None:
        self.made: list[Fault] = []
        super().__init__(
            *(
                partial(self._make, deck, random.Random(f"{seed} {name}"))
                for name, deck in decks.items()
                if deck.kinds
            )
        )

    def _make(self, deck: Deck, chance: random.Random) -> None:
        for kind in _shuffled(list(deck.kinds), chance):
            if self.stopping.wait(chance.uniform(*deck.gap)):
                return
            began = time.monotonic()
            deck.kinds[kind](chance)
            self.made.append(Fault(kind, began, time.monotonic()))


def end_workers(
    service: Service, chance: random.Random, most: int, how: int = signal.SIGKILL
) -> None:
    """Send a signal to ``most`` workers of a service, or to all if there are fewer."""
    workers = service.workers()
    for worker in chance.sample(workers, min(most, len(workers))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, how)


def restrict(server: Redis, bytes_: int) -> None:
    """Let Redis hold no more than so much, and refuse what would need more; 0 is no limit."""
    with redis_py.Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", bytes_)


def _shuffled(kinds: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Give all kinds in a random order, again and again, so that a short run meets each."""
    while True:
        yield from chance.sample(kinds, len(kinds))
