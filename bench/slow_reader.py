"""One subscriber that stops reading, beside two hundred that continue."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain

from bench.fan_out import receive_all
from bench.live_service import BOOK, MeasuredService, ReviewWriter
from bench.subscribers import SubscriberProcess
from bench.table import in_ms, print_table
from bench.websocket_client import SubscriptionClient

COUNT = 200
INTERVAL = 0.1
TEXT = "It is a long story. " * 400
CLOSED = 'bookstall_live_closed_total{kind="websocket",reason="slow reader"}'
MAX_EVENTS = 600


def measure(settings: Mapping[str, str], quick: bool) -> None:
    """Post events, without and with a subscriber that does not read."""
    rounds, events = (1, 50) if quick else (2, 150)
    alone: list[float] = []
    beside: list[float] = []
    closed: list[str] = []
    with (
        MeasuredService(**settings) as service,
        SubscriberProcess(service.port, BOOK, COUNT) as subscribers,
        ReviewWriter(service.port, TEXT) as writer,
    ):
        writer.wait_for_subscriptions(COUNT)
        for done in range(rounds):
            sent = _post_until(writer, lambda count, _: count >= events)
            alone += chain(*receive_all(subscribers, sent))
            client = _subscribe_without_reading(service.port)
            writer.wait_for_subscriptions(COUNT + 1)
            sent = _post_until(writer, partial(_is_closed, done))
            closed.append(f"{time.monotonic() - min(sent.values()):.1f} s ({len(sent)} events)")
            beside += chain(*receive_all(subscribers, sent))
            client.socket.close()
            writer.wait_for_subscriptions(COUNT)
    rate = f"{1 / INTERVAL:.0f} events of {len(TEXT):,} characters a second"
    print(f"\n{COUNT} subscribers, {rate}\n")
    rows = [
        (name, f"{len(delays):,}", in_ms(delays, 50), in_ms(delays, 99))
        for name, delays in (("alone", alone), ("beside one that does not read", beside))
    ]
    print_table(["the others", "delivered", "p50 ms", "p99 ms"], rows)
    print(f"\nFrom the first event that it did not read until it was closed: {', '.join(closed)}.")


def _subscribe_without_reading(port: int) -> SubscriptionClient:
    client = SubscriptionClient(port, BOOK, receive_buffer=4_096)
    while not client.acknowledged:
        client.receive()
    return client


def _post_until(writer: ReviewWriter, enough: Callable[[int, float], bool]) -> dict[int, float]:
    """Post until the number of events, or of closed connections, is enough."""
    sent: dict[int, float] = {}
    while not enough(len(sent), writer.metric(CLOSED)):
        if len(sent) > MAX_EVENTS:
            raise SystemExit(f"not closed after {MAX_EVENTS} events")
        sent |= writer.post_at_interval(5, INTERVAL)
        time.sleep(INTERVAL)
    return sent


def _is_closed(before: int, _: int, closed: float) -> bool:
    return closed > before
