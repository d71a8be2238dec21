"""One event to a thousand, and to five thousand subscribers of a book on one worker."""

import time
from collections.abc import Mapping
from statistics import median

from bench.event_delays import newest_cursor
from bench.live_service import BOOK, MeasuredService, ReviewWriter
from bench.subscribers import ReceivingProcess, SubscriberProcess
from bench.table import in_ms, print_table

TIMEOUT = 20.0


def receive_all(
    subscribers: ReceivingProcess, sent: Mapping[int, float], timeout: float = TIMEOUT
) -> list[list[float]]:
    """Wait until each subscriber has received each event once; return the delays by event."""
    times: dict[int, list[float]] = {position: [] for position in sent}
    deadline = time.monotonic() + timeout
    while sum(map(len, times.values())) < subscribers.count * len(sent):
        report = subscribers.report()
        for position, received in report.times.items():
            times[position] += received
        missing = {at: subscribers.count - len(received) for at, received in times.items()}
        if report.lost or (any(missing.values()) and time.monotonic() > deadline):
            raise SystemExit(f"not delivered: {missing}, lost connections: {report.lost[:3]}")
        time.sleep(0.05)
    if any(len(received) != subscribers.count for received in times.values()):
        raise SystemExit("an event was delivered twice")
    return [[at - began for at in times[position]] for position, began in sent.items()]


def measure(settings: Mapping[str, str], quick: bool, *, changes: bool = False) -> None:
    """Measure the delays, and the CPU and memory of the worker, several events a second.

    With ``changes`` the subscribers are followers of the event stream of the feed.
    """
    count, rounds = (200, 2) if quick else (1_000, 10)
    events, interval = 10, 0.25
    delays: list[float] = []
    cpu: list[float] = []
    with MeasuredService(**settings) as service, ReviewWriter(service.port) as writer:
        topic = newest_cursor(service.port) if changes else BOOK
        initial = service.memory_bytes()
        with SubscriberProcess(service.port, topic, count) as subscribers:
            writer.wait_for_subscriptions(count)
            receive_all(subscribers, writer.post_at_interval(3, interval))  # warm up
            for _ in range(rounds):
                before = service.cpu_seconds()
                for received in receive_all(subscribers, writer.post_at_interval(events, interval)):
                    delays += received
                cpu.append((service.cpu_seconds() - before) / events)
            memory = service.memory_bytes() - initial
            receipt_cpu = subscribers.report().cpu / (count * (3 + rounds * events))
    what = "followers of the event stream of the feed" if changes else "subscribers of one book"
    print(f"\n{count:,} {what}, {1 / interval:.0f} events a second;")
    print("delays from the POST to each receipt, CPU of the worker from /proc, with the POST\n")
    rows = [
        ("delivered", f"{len(delays):,} of {rounds * events * count:,}"),
        ("p50 ms", in_ms(delays, 50)),
        ("p99 ms", in_ms(delays, 99)),
        ("CPU ms for an event", f"{median(cpu) * 1000:.0f}"),
        ("CPU us for an event and each of them", f"{median(cpu) / count * 1e6:.0f}"),
        ("memory (PSS) for each, kB, after the events", _kilobytes(memory, count)),
    ]
    print_table(["one worker", "figure"], rows)
    print(f"The clients used {receipt_cpu * 1e6:.0f} us of CPU for each receipt.")


def measure_many(settings: Mapping[str, str], quick: bool) -> None:
    """Measure the memory for each subscriber, and how long an event takes to reach the last."""
    count, events, interval = 500 if quick else 5_000, 5, 2.0
    with MeasuredService(**settings) as service, ReviewWriter(service.port) as writer:
        writer.post()
        initial, began = service.memory_bytes(), time.monotonic()
        with SubscriberProcess(service.port, BOOK, count) as subscribers:
            writer.wait_for_subscriptions(count)
            connected = time.monotonic() - began
            before = service.memory_bytes()
            by_event = receive_all(subscribers, writer.post_at_interval(events, interval))
            after = service.memory_bytes()
    delays = [delay for received in by_event for delay in received]
    print(f"\n{count:,} subscribers of one book on one worker, connected in {connected:.1f} s\n")
    rows = [
        ("memory (PSS) for each, kB, before the events", _kilobytes(before - initial, count)),
        (f"after {events} events", _kilobytes(after - initial, count)),
        (f"delivered, of {events} x {count:,}", f"{len(delays):,}"),
        ("p50 ms from the POST", in_ms(delays, 50)),
        ("the last receipt, ms, median of the events", in_ms([max(r) for r in by_event], 50)),
    ]
    print_table(["worker", "figure"], rows)


def _kilobytes(size: int, count: int) -> str:
    return f"{size / count / 1024:.1f}"
