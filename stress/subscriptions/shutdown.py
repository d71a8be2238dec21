"""What is lost when workers end under load: `python -m stress.subscriptions.shutdown`."""

import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import click
import orjson

from stress.http_client import Wire, get, post
from stress.service import LiveService
from stress.subscriptions.records import Account
from stress.subscriptions.run import new_database, shelve
from stress.subscriptions.subscribers import Crowd, Subscriber
from stress.threads import Crew

REVIEW = orjson.dumps({"rating": 4, "reviewer": "Ana", "text": "Read in one night."})
BUSY, CALM, IDLE, ASLEEP, FRESH = 3, 3, 3, 2, 3
"""How many clients keep a connection, by how long they pause on it; the last ones keep none."""
LOAD_SECONDS = 1.0
NEVER = 60.0
SENT = ("answered", "lost", "torn")
LOST = ("lost on a new connection", "lost on a kept connection", "torn")


@dataclass
class Loss:
    """What clients have met."""

    met: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """From the signal until the master, or all of the old workers, had ended."""
    code: int | None = None
    """The master's exit code, if it was to end."""
    ends: Counter[str] = field(default_factory=Counter)
    """How subscribers' connections ended."""
    told_within: float = 0.0
    """Seconds after which the last subscriber had been told."""

    @property
    def lost(self) -> int:
        """Return how many requests were sent and not answered whole."""
        return sum(self.met[kind] for kind in LOST)

    @property
    def sent(self) -> int:
        """Return how many requests were sent."""
        return sum(count for kind, count in self.met.items() if kind.startswith(SENT))

    def __str__(self) -> str:
        """Write all figures."""
        met = ", ".join(f"{kind} {count}" for kind, count in sorted(self.met.items()))
        ends = ", ".join(f"{kind} {count}" for kind, count in sorted(self.ends.items()))
        return (
            f"lost {self.lost} of {self.sent} ({met}); ended after {self.seconds:.1f} s "
            f"with {self.code}; subscribers told within {self.told_within:.2f} s: {ends}"
        )


class Load(Crew):
    """Clients that ask without end, over kept and over new connections; some rest in between."""

    def __init__(self, port: int, seed: int) -> None:
        self.met: Counter[str] = Counter()
        self._port = port
        pauses = [0.003] * BUSY + [0.03] * CALM + [0.7] * IDLE + [NEVER] * ASLEEP
        roles = [partial(self._keep, pause=pause) for pause in pauses] + [self._renew] * FRESH
        chances = [random.Random(f"{seed} {at}") for at in range(len(roles))]
        super().__init__(
            *(partial(role, chance) for role, chance in zip(roles, chances, strict=True))
        )

    def _keep(self, chance: random.Random, pause: float) -> None:
        while not self.stopping.is_set():
            wire = self._wire()
            if wire is None:
                continue
            with closing(wire):
                answers = 0
                while not self.stopping.is_set():
                    if readable(wire.socket):
                        self.met["closed while idle"] += 1
                        break
                    kind = "a kept" if answers else "a new"
                    if not self._ask(wire, kind, chance) or _says_close(wire):
                        break
                    answers += 1
                    self.stopping.wait(chance.uniform(0, 2 * pause))

    def _renew(self, chance: random.Random) -> None:
        while not self.stopping.is_set():
            wire = self._wire()
            if wire is not None:
                with closing(wire):
                    self._ask(wire, "a new", chance)
            self.stopping.wait(chance.uniform(0, 0.004))

    def _wire(self) -> Wire | None:
        try:
            return Wire(self._port)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            self.met["refused" if refused else f"not connected: {type(error).__name__}"] += 1
            self.stopping.wait(0.05)
            return None

    def _ask(self, wire: Wire, kind: str, chance: random.Random) -> bool:
        words = post("/books/1/reviews", REVIEW) if chance.random() < 0.2 else get("/books/1")
        try:
            status, _ = wire.ask(words)
        except OSError:
            self.met["torn" if wire.begun else f"lost on {kind} connection"] += 1
            return False
        self.met[f"answered {status}"] += 1
        return True


def readable(of: socket.socket) -> bool:
    """Tell whether the other side has sent something, or has closed."""
    return bool(select.select([of], [], [], 0)[0])


def _says_close(wire: Wire) -> bool:
    return wire.header("Connection").lower() == "close"


def leave(
    how: str, seed: int, subscribers: int = 20, workers: int = 2, database: str | None = None
) -> Loss:
    """Serve under load, send the master a signal, and count what is lost."""
    loss = Loss()
    calm = threading.Event()
    calm.set()
    with new_database(sqlite=True, given=database) as url:
        shelve(url)
        accounts = [Account(("ws", "sse")[at % 2], None, asks=False) for at in range(subscribers)]
        with LiveService("asgi:app", workers, DATABASE_URL=url) as service:
            crowd = [
                Subscriber(service.port, account, random.Random(f"{seed} {at}"), calm)
                for at, account in enumerate(accounts)
            ]
            with Crowd(crowd, [0.0] * subscribers), Load(service.port, seed) as load:
                _wait(lambda: all(account.seen for account in accounts))
                time.sleep(LOAD_SECONDS)
                old = set(service.workers())
                began = time.monotonic()
                if how == "TERM":
                    service.terminate()
                    loss.code = service.ended()
                else:
                    service.reload()
                    _wait(lambda: not old & set(service.workers()))
                loss.seconds = time.monotonic() - began
                time.sleep(0.5)
    loss.met = load.met
    for account in accounts:
        at, end = next((one for one in account.ended if one[0] >= began), (began + NEVER, "none"))
        loss.ends[f"{account.kind} {end}"] += 1
        loss.told_within = max(loss.told_within, at - began)
    return loss


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + NEVER
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


@click.command()
@click.option("--how", type=click.Choice(["TERM", "HUP"]), default="TERM", show_default=True)
@click.option("--times", default=5, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(how: str, times: int, seed: int) -> None:
    """Tell workers to end under load, and print what was lost."""
    losses = []
    for at in range(times):
        losses.append(leave(how, seed + at))
        print(losses[-1], flush=True)
    lost, sent = sum(loss.lost for loss in losses), sum(loss.sent for loss in losses)
    print(f"{how} {times} times: lost {lost} of {sent}")


if __name__ == "__main__":
    main(prog_name="python -m stress.subscriptions.shutdown")
