"""Count what clients lose, and how long they wait, while processes of the service are replaced.

`python -m stress.reload [--server asgi|wsgi] [--how HUP ...]`.
"""

import os
import random
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial

import click

from stress.data import REVIEW, fill, new_database
from stress.http_client import HttpConnection, get, post
from stress.service import LiveService, Service, serving
from stress.stats import format_counts
from stress.threads import WorkerThreads, wait_until

TIMEOUT = 60.0
PAUSES = [0.003] * 3 + [0.03] * 3 + [0.7] * 3 + [TIMEOUT] * 2
"""Seconds between two requests of each client with a persistent connection."""
NEW_CONNECTION_CLIENTS = 3
"""Clients that open a connection for each request."""
LOAD_SECONDS = 2.0
"""How long clients send requests before the change, and again after it."""
COMPLETE = "response"
LOST = ("lost on a new connection", "lost on a persistent connection", "incomplete response")


class Load(WorkerThreads):
    """Clients that send requests on persistent and on new connections, with and without pauses."""

    def __init__(self, port: int, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.waits: list[float] = []
        """Seconds from the start of each request, or of its connection, to its response."""
        self.refused_at: list[float] = []
        self._port = port
        tasks = [partial(self._keep_connection, pause=pause) for pause in PAUSES]
        tasks += [partial(self._open_connections)] * NEW_CONNECTION_CLIENTS
        rngs = [random.Random(f"{seed} {number}") for number in range(len(tasks))]
        super().__init__(*(partial(task, rng) for task, rng in zip(tasks, rngs, strict=True)))

    def _keep_connection(self, rng: random.Random, pause: float) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            connection = self._connect()
            if connection is None:
                continue
            with closing(connection):
                kind = "new"
                while not self.stopping.is_set():
                    if select.select([connection.socket], [], [], 0)[0]:
                        self.outcomes["closed while idle"] += 1
                        break
                    if not self._request(connection, kind, rng, began) or _is_last(connection):
                        break
                    kind = "persistent"
                    self.stopping.wait(rng.uniform(0, 2 * pause))
                    began = time.monotonic()

    def _open_connections(self, rng: random.Random) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            connection = self._connect()
            if connection is not None:
                with closing(connection):
                    self._request(connection, "new", rng, began)
            self.stopping.wait(rng.uniform(0, 0.004))

    def _connect(self) -> HttpConnection | None:
        try:
            return HttpConnection(self._port)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            outcome = "refused" if refused else f"not connected: {type(error).__name__}"
            self.outcomes[outcome] += 1
            self.refused_at.append(time.monotonic())
            self.stopping.wait(0.05)
            return None

    def _request(
        self, connection: HttpConnection, kind: str, rng: random.Random, began: float
    ) -> bool:
        message = post("/books/1/reviews", REVIEW) if rng.random() < 0.2 else get("/books/1")
        try:
            response = connection.request(message)
        except OSError:
            lost_on = f"lost on a {kind} connection"
            self.outcomes["incomplete response" if connection.response_started else lost_on] += 1
            return False
        self.outcomes[f"{COMPLETE} {response.status}"] += 1
        self.waits.append(response.ended - began)
        return True


def _is_last(connection: HttpConnection) -> bool:
    return connection.header("Connection").lower() == "close"


def lost(outcomes: Mapping[str, int]) -> int:
    """Return how many requests were sent and got no complete response."""
    return sum(outcomes.get(kind, 0) for kind in LOST)


def sent(outcomes: Mapping[str, int]) -> int:
    """Return how many requests were sent."""
    complete = [count for kind, count in outcomes.items() if kind.startswith(COMPLETE)]
    return lost(outcomes) + sum(complete)


def reload(service: Service) -> None:
    """Replace all workers by SIGHUP."""
    old = set(service.workers())
    service.reload()
    _wait(lambda: not old & set(service.workers()))


def upgrade(service: Service) -> None:
    """Start a second master by SIGUSR2, and end the first one when the second one serves."""
    old = set(service.workers())
    service.signal(signal.SIGUSR2)
    _wait(lambda: set(service.workers()) - old)
    (master,) = set(service.workers()) - old
    _wait(lambda: service.log.read_text().count("Bookstall listens on") == 2)
    _wait(lambda: serving(master) == len(old))
    service.terminate()
    service.wait()
    service.adopt(master)


def add_worker(service: Service) -> None:
    """Add a worker by SIGTTIN."""
    count = len(service.workers()) + 1
    service.signal(signal.SIGTTIN)
    _wait(lambda: serving(service.master) == count)


def remove_worker(service: Service) -> None:
    """End a worker by SIGTTOU."""
    count = len(service.workers()) - 1
    service.signal(signal.SIGTTOU)
    _wait(lambda: len(service.workers()) == count)


def kill_worker(service: Service) -> None:
    """Kill a worker (-9), which the master replaces."""
    count = len(service.workers())
    killed = service.workers()[0]
    os.kill(killed, signal.SIGKILL)
    _wait(lambda: killed not in service.workers() and serving(service.master) == count)


def kill_master(service: Service) -> None:
    """Kill the master (-9) only, and start the service again at once, as a supervisor does."""
    service.kill()
    _start(service)


def restart(service: Service) -> None:
    """End the service by SIGTERM, and start it again."""
    service.stop()
    _start(service)


def change_nothing(_: Service) -> None:
    """Let the clients send requests for a while, to compare."""
    time.sleep(LOAD_SECONDS)


CHANGES: dict[str, Callable[[Service], None]] = {
    "nothing": change_nothing,
    "HUP": reload,
    "USR2": upgrade,
    "TTIN": add_worker,
    "TTOU": remove_worker,
    "kill-worker": kill_worker,
    "kill-master": kill_master,
    "restart": restart,
}
SERVERS = {"asgi": LiveService, "wsgi": Service}


def _start(service: Service) -> None:
    service.start()
    _wait(lambda: serving(service.master) == 2)


def _wait(condition: Callable[[], object]) -> None:
    if not wait_until(condition, TIMEOUT):
        raise TimeoutError("the processes have not changed")


def measure(kind: str, change: Callable[[Service], None], seed: int, url: str) -> Load:
    """Change the processes of a service of two workers under load."""
    service = SERVERS[kind](f"{kind}:app", 2, DATABASE_URL=url)
    with service, Load(service.port, seed) as load:
        _wait(lambda: serving(service.master) == 2)
        time.sleep(LOAD_SECONDS)
        load.waits.clear()
        change(service)
        time.sleep(LOAD_SECONDS)
    return load


def report(load: Load) -> str:
    """Return what clients lost, and how long they waited."""
    line = f"lost {lost(load.outcomes)} of {sent(load.outcomes)}"
    line += f", longest wait {max(load.waits, default=0):.2f} s"
    if load.refused_at:
        line += f", refused for {max(load.refused_at) - min(load.refused_at):.1f} s"
    return f"{line} ({format_counts(load.outcomes)})"


@click.command()
@click.option("--server", "kinds", type=click.Choice([*SERVERS]), multiple=True)
@click.option("--how", type=click.Choice([*CHANGES]), multiple=True)
@click.option("--times", default=3, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(kinds: tuple[str, ...], how: tuple[str, ...], times: int, seed: int) -> None:
    """Change the processes of the service in each way under load, and print what clients lost."""
    with new_database() as url:
        fill(url, books=1, reviews=0)
        for kind in kinds or SERVERS:
            for name in how or CHANGES:
                for number in range(times):
                    load = measure(kind, CHANGES[name], seed + number, url)
                    print(f"{kind} {name}: {report(load)}", flush=True)


if __name__ == "__main__":
    main(prog_name="python -m stress.reload")
