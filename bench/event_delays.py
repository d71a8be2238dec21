"""How long an event takes from its commit to a follower, on a machine with nothing else to do."""

import os
import threading
import time
from contextlib import closing

import orjson

from bench.changes_client import ChangesClient
from bench.event_modes import COMMITTED, TIMED
from bench.table import print_table
from stack.servers import Postgres, Redis
from stress.data import REVIEW, fill
from stress.http_client import HttpConnection, get, post
from stress.service import LiveService, Service
from stress.stats import percentile
from stress.threads import wait_until

INTERVAL = 0.05
TARGET_MS = 50
TIMEOUT = 30.0


def measure(quick: bool) -> None:
    """Measure with and without Redis, with the writer in the follower's process and in another."""
    events = 40 if quick else 400
    print(f"\n{events} reviews, one in {INTERVAL * 1000:.0f} ms, to one event stream of an asgi")
    print("worker, on durable PostgreSQL; milliseconds from the end of the commit to the receipt.")
    print(f"Target: p99 below {TARGET_MS}. Load average {os.getloadavg()[0]:.1f}.\n")
    rows = []
    with Postgres(durable=True) as postgres, Redis() as redis:
        for number, redis_url in enumerate((redis.url, None)):
            url = postgres.new_database(f"delays{number}")
            fill(url, books=1, reviews=0)
            settings = {"DATABASE_URL": url, **({"REDIS_URL": redis_url} if redis_url else {})}
            application = f"bench.event_modes:load('{{}}', '{TIMED}')"
            with (
                LiveService(application.format("asgi"), 1, **settings) as live,
                Service(application.format("wsgi"), 1, **settings) as rest,
            ):
                for where, writer in (("the same process", live), ("another process", rest)):
                    delays = _delays(live.port, writer.port, events)
                    figures = [f"{1000 * percentile(delays, n):.1f}" for n in (50, 99)]
                    uses = "with Redis" if redis_url else "without Redis"
                    rows.append([f"{uses}, written by {where}", *figures])
    print_table(["PostgreSQL", "p50 ms", "p99 ms"], rows)


def _delays(follower: int, writer: int, events: int) -> list[float]:
    with closing(HttpConnection(writer)) as connection:
        client = ChangesClient(follower, newest_cursor(follower))
        received: list[float] = []

        def receive() -> None:
            while len(received) < events + 1:
                positions = client.receive()
                received.extend([time.monotonic()] * len(positions))

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        committed = []
        for _ in range(events + 1):
            time.sleep(INTERVAL)
            response = connection.request(post("/books/1/reviews", REVIEW))
            if response.status != 201:
                raise SystemExit(f"a review: {response.status}")
            committed.append(float(connection.header(COMMITTED)))
        if not wait_until(lambda: len(received) > events, TIMEOUT):
            raise SystemExit(f"only {len(received)} events were received")
        client.socket.close()
    # The first one prepares both processes.
    return [at - done for at, done in zip(received, committed, strict=True)][1:]


def newest_cursor(port: int) -> str:
    """Return the cursor of now."""
    with closing(HttpConnection(port)) as connection:
        response = connection.request(get("/changes?after=now"))
    return str(orjson.loads(response.body)["cursor"])
