"""One event to everybody who follows a book: by one execution for all, and by one for each."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.asgi import BOOK, Asgi, Poster
from bench.subscribers import Crowd
from bench.table import percentile, show, spread

PATIENCE = 20.0


@dataclass
class Found:
    """What rounds with one service have found; times in seconds."""

    delays: list[float] = field(default_factory=list)
    """Of each receipt, since the POST was sent."""
    cpu: list[float] = field(default_factory=list)
    """Of the worker for an event, in each round."""
    sent: int = 0


@dataclass
class Side:
    """One service with its subscribers."""

    name: str
    service: Asgi
    crowd: Crowd
    poster: Poster
    events: int
    """Of one round."""
    every: float
    """Seconds from one event to the next."""
    found: Found = field(default_factory=Found)

    def begin(self) -> None:
        """Wait until all subscriptions are at work, and warm up."""
        self.poster.wait_for_subscriptions(self.crowd.count)
        all_of(self.crowd, self.poster.post_steadily(3, self.every))

    def round(self) -> None:
        """Post some events, and note when they came and what they cost."""
        before = self.service.cpu()
        sent = self.poster.post_steadily(self.events, self.every)
        times = all_of(self.crowd, sent)
        self.found.cpu.append((self.service.cpu() - before) / self.events)
        self.found.sent += len(sent)
        for position, began in sent.items():
            self.found.delays += [came - began for came in times[position]]


def all_of(crowd: Crowd, sent: Mapping[int, float]) -> dict[int, list[float]]:
    """Wait until everybody has heard of everything, and return when; end the run if not."""
    times: dict[int, list[float]] = {position: [] for position in sent}
    deadline = time.monotonic() + PATIENCE
    while sum(map(len, times.values())) < crowd.count * len(sent):
        heard = crowd.tell()
        if heard.lost or time.monotonic() > deadline:
            missing = {place: crowd.count - len(came) for place, came in times.items()}
            raise SystemExit(f"not all was delivered: {missing}, lost: {heard.lost[:3]}")
        for position, came in heard.times.items():
            times[position] += came
        time.sleep(0.05)
    if any(len(came) != crowd.count for came in times.values()):
        raise SystemExit("something was delivered twice")
    return times


def measure(shared_url: Mapping[str, str], own_url: Mapping[str, str], quick: bool) -> None:
    """Let both sides take turns, and print what they found."""
    count, rounds = (200, 2) if quick else (1_000, 10)
    with (
        Asgi(**shared_url) as shared,
        Asgi("bench.unshared:app", **own_url) as unshared,
        Crowd(shared.port, BOOK, count) as one_query,
        Crowd(unshared.port, BOOK, count, own_queries=True) as own_queries,
        Poster(shared.port) as poster,
        Poster(unshared.port) as other_poster,
    ):
        sides = [
            Side("one query for all", shared, one_query, poster, 10, 0.25),
            Side("a query of its own for each", unshared, own_queries, other_poster, 4, 1.0),
        ]
        for side in sides:
            side.begin()
        for _ in range(rounds):
            for side in sides:
                side.round()
        own = one_query.tell().own / (one_query.count * sides[0].found.sent)
    _print(sides, count, own)


def _print(sides: list[Side], count: int, own: float) -> None:
    print(f"\n{count:,} subscribers of one book on one worker; from the POST to each receipt\n")
    rows = [
        (
            side.name,
            f"{1 / side.every:.0f}",
            f"{side.found.sent} x {count} = {len(side.found.delays):,}",
            f"{percentile(side.found.delays, 50) * 1000:.0f}",
            f"{percentile(side.found.delays, 99) * 1000:.0f}",
            f"{median(side.found.cpu) * 1000:.0f}",
            f"{median(side.found.cpu) / count * 1e6:.0f}",
        )
        for side in sides
    ]
    heads = ["subscribers", "events/s", "delivered", "p50 ms", "p99 ms", "CPU ms/event", "us each"]
    show(heads, rows)
    shared, unshared = (side.found.cpu for side in sides)
    ratios = [mine / other for mine, other in zip(shared, unshared, strict=True)]
    verdict = "met" if median(ratios) <= 1 / 3 else "MISSED"
    print("\nCPU of the worker for an event, its POST included, from /proc/PID/stat.")
    print(f"target: shared at most a third of unshared: {spread(ratios)}, {verdict}")
    print(f"The subscribers took {own * 1e6:.0f} us of CPU for each receipt.")
