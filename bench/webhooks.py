"""Webhooks: how late events are, how soon a killed deliverer is replaced, and what each costs."""

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager

import orjson

from bench.event_modes import COMMITTED, TIMED
from bench.fan_out import receive_all
from bench.live_service import ReviewWriter
from bench.load import cpu_seconds
from bench.receivers import HANGING, ReceiverProcess
from bench.subscribers import raise_file_limit
from bench.table import in_ms, print_table
from stack.servers import Postgres
from stress.data import fill, new_database
from stress.http_client import HttpConnection, post
from stress.service import Service
from stress.stats import percentile
from stress.subscriptions.webhooks import Deliverer

TIMEOUT = 120.0
GOOD, INTERVAL = 10, 0.05
MANY, MANY_EVENTS = 1_000, 5
RESTART_SECONDS = 1.0
"""After so long `make run` starts a deliverer again that was killed."""
DELIVERS = "this process delivers to webhooks"
"""What the log of a deliverer says when it is the one of all."""


class CommittedReviews(ReviewWriter):
    """Add reviews, of which the time of the commit is returned, not that of the request."""

    def post(self) -> tuple[int, float]:
        """Add a review; return the position of its event, and when it was committed."""
        position, _ = super().post()
        return position, float(self._connection.header(COMMITTED))


def run(quick: bool) -> None:
    """Measure each part on databases of its own; exit only if an event does not arrive."""
    raise_file_limit()
    with Postgres(durable=True) as postgres:
        _measure_delays(postgres, 40 if quick else 400)
        _measure_replacements(postgres, 1 if quick else 5)
        _measure_cost(postgres, MANY // 10 if quick else MANY)


def _measure_delays(postgres: Postgres, events: int) -> None:
    print(f"{events} reviews, one in {1000 * INTERVAL:.0f} ms, to {GOOD} webhooks, also beside")
    print(f"{GOOD} whose receivers accept requests and never respond. One deliverer, durable")
    print("PostgreSQL, no Redis. From the end of the commit to the receipt; target: max 1,000 ms.")
    print(f"Load average {os.getloadavg()[0]:.1f}.\n")
    rows = []
    for hanging in (0, GOOD):
        url = postgres.new_database(f"webhooks{hanging}")
        with _shop(url, GOOD, hanging) as (receivers, writer, settings), Deliverer(**settings):
            receive_all(receivers, dict([writer.post()]), TIMEOUT)  # the first one prepares all
            sent = writer.post_at_interval(events, INTERVAL)
            delays = [delay for each in receive_all(receivers, sent, TIMEOUT) for delay in each]
        figures = [in_ms(delays, 50), in_ms(delays, 99), f"{1000 * max(delays):.0f}"]
        rows.append([f"beside {hanging} that hang", f"{len(delays):,}", *figures])
    print_table([f"{GOOD} webhooks", "deliveries", "p50 ms", "p99 ms", "max ms"], rows)


def _measure_replacements(postgres: Postgres, times: int) -> None:
    print("\nThe deliverer killed (-9): seconds until an event arrives that was committed then;")
    print(f"target: 10 s. Load average {os.getloadavg()[0]:.1f}.\n")
    rows = []
    with new_database(sqlite=True) as sqlite:
        for name, url in (("PostgreSQL", postgres.new_database("killed")), ("SQLite", sqlite)):
            with _shop(url, 1) as (receivers, writer, settings):
                for count, how in ((2, "another one waits"), (1, "started again as by `make run`")):
                    delays = _replace(receivers, writer, settings, count, times)
                    figures = [f"{percentile(delays, 50):.1f}", f"{max(delays):.1f}"]
                    rows.append([f"{name}, {how}", len(delays), *figures])
    print_table(["deliverer", "times", "median s", "max s"], rows)


def _replace(
    receivers: ReceiverProcess,
    writer: CommittedReviews,
    settings: Mapping[str, str],
    count: int,
    times: int,
) -> list[float]:
    """Kill the one of ``count`` deliverers that delivers, and start another, so many times."""
    delays = []
    with ExitStack() as stack:
        deliverers = [stack.enter_context(Deliverer(**settings)) for _ in range(count)]
        receive_all(receivers, dict([writer.post()]), TIMEOUT)
        for _ in range(times):
            # Until the other one waits for the lock, and then at any moment between its looks.
            time.sleep(random.uniform(3, 4))
            delivering = next(one for one in deliverers if DELIVERS in one.log.read_text())
            deliverers.remove(delivering)
            killed = time.monotonic()
            delivering.kill()
            position, _ = writer.post()
            if not deliverers:
                time.sleep(RESTART_SECONDS)
                deliverers.append(stack.enter_context(Deliverer(**settings)))
            [[delay]] = receive_all(receivers, {position: killed}, TIMEOUT)
            delays.append(delay)
            if len(deliverers) < count:
                deliverers.append(stack.enter_context(Deliverer(**settings)))
    return delays


def _measure_cost(postgres: Postgres, count: int) -> None:
    print(f"\n{MANY_EVENTS} events at once to {count:,} webhooks, whose receivers are one process.")
    print(f"One deliverer, durable PostgreSQL. Load average {os.getloadavg()[0]:.1f}.\n")
    url = postgres.new_database("cost")
    with _shop(url, count) as (receivers, writer, settings), Deliverer(**settings) as deliverer:
        receive_all(receivers, dict([writer.post()]), TIMEOUT)
        assert deliverer.pid
        cpu, received_cpu = cpu_seconds(deliverer.pid), receivers.report().cpu
        sent = writer.post_at_interval(MANY_EVENTS, 0)
        began = min(sent.values())
        by_event = receive_all(receivers, sent, TIMEOUT)
        ended = max(sent[at] + max(delays) for at, delays in zip(sent, by_event, strict=True))
        time.sleep(1.0)  # the last ones are recorded after their receipt
        cpu = cpu_seconds(deliverer.pid) - cpu
        received_cpu = receivers.report().cpu - received_cpu
    total = count * MANY_EVENTS
    rows = [
        ("deliveries", f"{total:,}"),
        ("seconds", f"{ended - began:.1f}"),
        ("deliveries/s", f"{total / (ended - began):,.0f}"),
        ("CPU of the deliverer for each, ms", f"{1000 * cpu / total:.2f}"),
    ]
    print_table([f"{count:,} webhooks", "figure"], rows)
    print(f"The receivers used {1e6 * received_cpu / total:.0f} us of CPU for each.")


@contextmanager
def _shop(
    url: str, good: int, hanging: int = 0
) -> Iterator[tuple[ReceiverProcess, CommittedReviews, dict[str, str]]]:
    """Serve the database at ``url``, and add webhooks; yield also the settings of a deliverer."""
    fill(url, books=1, reviews=0)
    settings = {"DATABASE_URL": url, "WEBHOOK_PRIVATE_TARGETS": "true"}
    application = f"bench.event_modes:load('wsgi', '{TIMED}')"
    with (
        ReceiverProcess(good) as receivers,
        Service(application, 1, **settings) as service,
        CommittedReviews(service.port) as writer,
    ):
        paths = [f"/good/{number}" for number in range(good)]
        paths += [f"{HANGING}{number}" for number in range(hanging)]
        _add_webhooks(service.port, [receivers.url(path) for path in paths])
        yield receivers, writer, settings


def _add_webhooks(port: int, urls: Sequence[str]) -> None:
    with closing(HttpConnection(port)) as connection:
        for url in urls:
            response = connection.request(post("/webhooks", orjson.dumps({"url": url})))
            if response.status != 201:
                raise SystemExit(f"a webhook: {response.status}, {response.body[:200]!r}")
