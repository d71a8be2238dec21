"""Count what clients lose when workers stop under load.

`python -m stress.subscriptions.shutdown [--how TERM|HUP]`.
"""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import click

from stress.data import fill, new_database
from stress.reload import TIMEOUT, Load, lost, sent
from stress.service import LiveService
from stress.stats import format_counts
from stress.subscriptions.followers import FollowerThread, Way
from stress.subscriptions.records import FollowerRecord
from stress.subscriptions.transports import TRANSPORTS
from stress.threads import wait_until

LOAD_SECONDS = 1.0
FOLLOWERS = ("WebSocket", "GraphQL stream", "event stream")


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
        return lost(self.outcomes)

    @property
    def sent(self) -> int:
        """Return how many requests were sent."""
        return sent(self.outcomes)

    def __str__(self) -> str:
        """Format all figures."""
        return (
            f"lost {self.lost} of {self.sent} requests ({format_counts(self.outcomes)}); "
            f"ended after {self.seconds:.1f} s with exit code {self.exit_code}; subscribers "
            f"closed within {self.notified_within:.2f} s ({format_counts(self.closed)})"
        )


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
    total, of = sum(one.lost for one in losses), sum(one.sent for one in losses)
    print(f"{how} {times} times: lost {total} of {of}")


if __name__ == "__main__":
    main(prog_name="python -m stress.subscriptions.shutdown")
