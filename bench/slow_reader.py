"""One subscriber that stops to read, among two hundred that go on."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bench.asgi import BOOK, Asgi, Poster
from bench.fan_out import all_of
from bench.follower import Follower, subscription
from bench.subscribers import Crowd
from bench.table import percentile, show

COUNT = 200
EVERY = 0.1
TEXT = "It is a long story. " * 400
CUT = 'bookstall_live_ends_total{kind="socket",why="does not read"}'
MOST = 600


@dataclass
class Others:
    """What the others saw meanwhile; in seconds."""

    delays: list[float] = field(default_factory=list)

    def add(self, crowd: Crowd, sent: Mapping[int, float]) -> None:
        """Wait for these events, and take their times."""
        for position, came in all_of(crowd, sent).items():
            self.delays += [when - sent[position] for when in came]


def measure(settings: Mapping[str, str], quick: bool) -> None:
    """Let the others be alone and with it in turns."""
    rounds = 1 if quick else 2
    alone, beside, cuts, filled = Others(), Others(), [], []
    with (
        Asgi(**settings) as service,
        Crowd(service.port, BOOK, COUNT) as crowd,
        Poster(service.port, TEXT) as poster,
    ):
        alone_for = 50 if quick else 150
        poster.wait_for_subscriptions(COUNT)
        for done in range(rounds):
            alone.add(crowd, steadily(poster, lambda count, _: count >= alone_for))
            stuck = stuck_follower(service.port)
            poster.wait_for_subscriptions(COUNT + 1)
            sent = steadily(poster, partial(one_more, done))
            cuts.append(time.monotonic() - min(sent.values()))
            beside.add(crowd, sent)
            filled.append(len(sent))
            stuck.socket.close()
            poster.wait_for_subscriptions(COUNT)
    _print(alone, beside, cuts, filled)


def stuck_follower(port: int) -> Follower:
    """Connect, subscribe, and read no more."""
    stuck = Follower(port, subscription(BOOK), receive_buffer=4_096)
    while not stuck.acknowledged:
        stuck.feed()
    return stuck


def steadily(poster: Poster, enough: Callable[[int, float], bool]) -> dict[int, float]:
    """Post until so many events, or so many subscribers that were cut, are enough."""
    sent = dict[int, float]()
    while not enough(len(sent), poster.figure(CUT)):
        if len(sent) > MOST:
            raise SystemExit(f"not cut after {MOST} events")
        sent |= poster.post_steadily(5, EVERY)
        time.sleep(EVERY)
    return sent


def one_more(done: int, _: int, cut: float) -> bool:
    """Tell whether one more has been cut than were before."""
    return cut > done


def _print(alone: Others, beside: Others, cuts: list[float], events: list[int]) -> None:
    print(f"\n{COUNT} subscribers, {1 / EVERY:.0f} events of {len(TEXT):,} characters a second\n")
    rows = [
        (
            name,
            f"{len(others.delays):,}",
            f"{percentile(others.delays, 50) * 1000:.0f}",
            f"{percentile(others.delays, 99) * 1000:.0f}",
        )
        for name, others in (("alone", alone), ("beside one that does not read", beside))
    ]
    show(["the others", "delivered", "p50 ms", "p99 ms"], rows)
    words = ", ".join(f"{c:.1f} s ({n} events)" for c, n in zip(cuts, events, strict=True))
    print(f"\nFrom the first event that it did not read until it was cut: {words}.")
