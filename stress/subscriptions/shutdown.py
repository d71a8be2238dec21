"""Count what clients lose when workers stop under load.

`python -m stress.subscriptions.shutdown [--how TERM|HUP]`.
"""

import random
import select
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import click

from stress.data import REVIEW, fill, new_database
from stress.http_client import HttpConnection, get, post
from stress.service import LiveService
from stress.stats import format_counts
from stress.subscriptions.followers import FollowerThread, Way
from stress.subscriptions.records import FollowerRecord
from stress.subscriptions.transports import TRANSPORTS
from stress.threads import WorkerThreads, wait_until

TIMEOUT = 60.0
PAUSES = [0.003] * 3 + [0.03] * 3 + [0.7] * 3 + [TIMEOUT] * 2
"""Seconds between two requests of each client with a persistent connection."""
NEW_CONNECTION_CLIENTS = 3
"""Clients that open a connection for each request."""
LOAD_SECONDS = 1.0
FOLLOWERS = ("WebSocket", "GraphQL stream", "event stream")
COMPLETE = "response"
LOST = ("lost on a new connection", "lost on a persistent connection", "incomplete response")


@dataclass
class Losses:
    """What clients observed while the workers stopped."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """From the signal until the master, or all of the old workers, had ended."""
    exit_code: int | None = None
    """Of the master, if it was to end."""
    closed: Counter[str] = field(default_factory=Counter)
    """How the connections of subscribers ended."""
    notified_within: float = 0.0
    """Seconds until the last connection of a subscriber ended."""

    @property
    def lost(self) -> int:
        """Return how many requests were sent and got no complete response."""
        return sum(self.outcomes[kind] for kind in LOST)

    @property
    def sent(self) -> int:
        """Return how many requests were sent."""
        complete = [n for kind, n in self.outcomes.items() if kind.startswith(COMPLETE)]
        return self.lost + sum(complete)

    def __str__(self) -> str:
        """Format all figures."""
        return (
            f"lost {self.lost} of {self.sent} requests ({format_counts(self.outcomes)}); "
            f"ended after {self.seconds:.1f} s with exit code {self.exit_code}; subscribers "
            f"closed within {self.notified_within:.2f} s ({format_counts(self.closed)})"
        )


class Load(WorkerThreads):
    """Clients that send requests on persistent and on new connections, with and without pauses."""

    def __init__(self, port: int, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._port = port
        tasks = [partial(self._keep_connection, pause=pause) for pause in PAUSES]
        tasks += [partial(self._open_connections)] * NEW_CONNECTION_CLIENTS
        rngs = [random.Random(f"{seed} {number}") for number in range(len(tasks))]
        super().__init__(*(partial(task, rng) for task, rng in zip(tasks, rngs, strict=True)))

    def _keep_connection(self, rng: random.Random, pause: float) -> None:
        while not self.stopping.is_set():
            connection = self._connect()
            if connection is None:
                continue
            with closing(connection):
                kind = "new"
                while not self.stopping.is_set():
                    if select.select([connection.socket], [], [], 0)[0]:
                        self.outcomes["closed while idle"] += 1
                        break
                    if not self._request(connection, kind, rng) or _is_last(connection):
                        break
                    kind = "persistent"
                    self.stopping.wait(rng.uniform(0, 2 * pause))

    def _open_connections(self, rng: random.Random) -> None:
        while not self.stopping.is_set():
            connection = self._connect()
            if connection is not None:
                with closing(connection):
                    self._request(connection, "new", rng)
            self.stopping.wait(rng.uniform(0, 0.004))

    def _connect(self) -> HttpConnection | None:
        try:
            return HttpConnection(self._port)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            outcome = "refused" if refused else f"not connected: {type(error).__name__}"
            self.outcomes[outcome] += 1
            self.stopping.wait(0.05)
            return None

    def _request(self, connection: HttpConnection, kind: str, rng: random.Random) -> bool:
        message = post("/books/1/reviews", REVIEW) if rng.random() < 0.2 else get("/books/1")
        try:
            response = connection.request(message)
        except OSError:
            lost = f"lost on a {kind} connection"
            self.outcomes["incomplete response" if connection.response_started else lost] += 1
            return False
        self.outcomes[f"{COMPLETE} {response.status}"] += 1
        return True


def _is_last(connection: HttpConnection) -> bool:
    return connection.header("Connection").lower() == "close"


def measure_shutdown(
    how: str, seed: int, subscribers: int = 20, workers: int = 2, database: str | None = None
) -> Losses:
    """Send the master a signal under load, and count what is lost."""
    losses = Losses()
    stay_connected = threading.Event()
    stay_connected.set()
    with new_database(sqlite=True, given=database) as url:
        fill(url, books=1, reviews=0)
        records = [
            FollowerRecord(FOLLOWERS[number % len(FOLLOWERS)], uses_cursor=False)
            for number in range(subscribers)
        ]
        with LiveService("asgi:app", workers, DATABASE_URL=url) as service:
            clients = [
                TRANSPORTS[record.transport](
                    record, Way(service.port, random.Random(f"{seed} {number}"), stay_connected)
                )
                for number, record in enumerate(records)
            ]
            delays = [0.0] * subscribers
            with FollowerThread(clients, delays), Load(service.port, seed) as load:
                if not wait_until(lambda: all(record.events for record in records), TIMEOUT):
                    raise TimeoutError("some subscribers receive nothing")
                time.sleep(LOAD_SECONDS)
                began = time.monotonic()
                losses.exit_code = _signal(service, how)
                losses.seconds = time.monotonic() - began
                wait_until(lambda: all(_ended(record, began) for record in records), TIMEOUT)
    losses.outcomes = load.outcomes
    for record in records:
        ends = _ended(record, began)
        at, reason = ends[0] if ends else (began + TIMEOUT, "none")
        losses.closed[f"{record.transport} {reason}"] += 1
        losses.notified_within = max(losses.notified_within, at - began)
    return losses


def _ended(record: FollowerRecord, began: float) -> list[tuple[float, str]]:
    """Return when and how connections of a subscriber have ended since the signal."""
    return [end for end in list(record.closed) if end[0] >= began]


def _signal(service: LiveService, how: str) -> int | None:
    """Stop the service and return its exit code, or replace all workers."""
    if how == "TERM":
        service.terminate()
        return service.wait()
    old = set(service.workers())
    service.reload()
    if not wait_until(lambda: not old & set(service.workers()), TIMEOUT):
        raise TimeoutError("old workers are still running")
    return None


@click.command()
@click.option("--how", type=click.Choice(["TERM", "HUP"]), default="TERM", show_default=True)
@click.option("--times", default=5, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(how: str, times: int, seed: int) -> None:
    """Stop workers under load, and print what was lost."""
    losses = []
    for number in range(times):
        losses.append(measure_shutdown(how, seed + number))
        print(losses[-1], flush=True)
    lost, sent = sum(one.lost for one in losses), sum(one.sent for one in losses)
    print(f"{how} {times} times: lost {lost} of {sent}")


if __name__ == "__main__":
    main(prog_name="python -m stress.subscriptions.shutdown")
