"""What five thousand subscribers take: memory for each, and how long until all have one event."""

import time
from collections.abc import Mapping

from bench.asgi import BOOK, Asgi, Poster
from bench.fan_out import all_of
from bench.subscribers import Crowd
from bench.table import percentile, show

EVENTS = 5
EVERY = 2.0


def measure(settings: Mapping[str, str], quick: bool) -> None:
    """Connect them all, and post a few events."""
    count = 500 if quick else 5_000
    with Asgi(**settings) as service, Poster(service.port) as poster:
        poster.post()
        before, began = service.memory(), time.monotonic()
        with Crowd(service.port, BOOK, count) as crowd:
            poster.wait_for_subscriptions(count)
            took = time.monotonic() - began
            held = service.memory()
            sent = poster.post_steadily(EVENTS, EVERY)
            times = all_of(crowd, sent)
            then = service.memory()
    delays = [came - sent[position] for position, all_came in times.items() for came in all_came]
    last = [max(came) - sent[position] for position, came in times.items()]
    print(f"\n{count:,} subscribers of one book on one worker, connected in {took:.1f} s\n")
    rows = [
        ("memory for each, kB, before the first event", f"{(held - before) / count / 1024:.1f}"),
        (f"after {EVENTS} events", f"{(then - before) / count / 1024:.1f}"),
        (f"delivered, of {EVENTS} x {count:,}", f"{len(delays):,}"),
        ("p50 ms from the POST", f"{percentile(delays, 50) * 1000:.0f}"),
        ("the last one, ms, median of the events", f"{percentile(last, 50) * 1000:.0f}"),
    ]
    show(["PSS of the worker; delivery", "figure"], rows)
