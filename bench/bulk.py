"""Adjustments of stock in bulk, compared with single requests on one connection."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from statistics import median

import orjson

from bench.memory import add_products
from bench.table import print_table, spread
from stack.servers import Redis
from stress.data import new_database
from stress.http_client import HttpConnection, post
from stress.service import LiveService

OPERATIONS = 10_000
SINGLES = 500
ROUNDS = 7
TARGET = 20
OPTIONS: dict[str, dict[str, bool]] = {"in bulk": {}, "in bulk, atomic": {"atomic": True}}


def run(quick: bool) -> None:
    """Measure both databases, round by round, and print the ratios."""
    rounds = 2 if quick else ROUNDS
    print(f"One request for {OPERATIONS:,} adjustments, and {SINGLES} requests for one each, by")
    print(f"turns in {rounds} rounds on one connection to one asgi worker. Milliseconds for each")
    print("adjustment, and how many times as fast it is in bulk, with the quartiles.\n")
    rows = [*_measure(rounds, sqlite=False), *_measure(rounds, sqlite=True)]
    print_table(["database", "request", "ms", f"ratio (target {TARGET})"], rows)


def _measure(rounds: int, *, sqlite: bool) -> list[list[object]]:
    with ExitStack() as stack:
        url = stack.enter_context(new_database(sqlite=sqlite))
        add_products(url, OPERATIONS)
        redis = {} if sqlite else {"REDIS_URL": stack.enter_context(Redis()).url}
        service = stack.enter_context(LiveService("asgi:app", 1, DATABASE_URL=url, **redis))
        connection = stack.enter_context(closing(HttpConnection(service.port)))
        requests = {name: bulk_request(**options) for name, options in OPTIONS.items()}
        single: list[float] = []
        bulk: dict[str, list[float]] = {name: [] for name in requests}
        for _ in range(rounds + 1):
            single.append(_seconds(connection, single_requests(), 201) / SINGLES)
            for name, request in requests.items():
                bulk[name].append(_seconds(connection, [request], 200) / OPERATIONS)
        database = "SQLite" if sqlite else "PostgreSQL and Redis"
        rows: list[list[object]] = [[database, "single", f"{median(single[1:]) * 1000:.2f}", ""]]
        for name, seconds in bulk.items():  # without the first round, which warms up
            ratios = [one / each for one, each in zip(single, seconds, strict=True)][1:]
            rows.append([database, name, f"{median(seconds[1:]) * 1000:.3f}", spread(ratios)])
        return rows


def bulk_request(**options: bool) -> bytes:
    """Return a request that adjusts all products."""
    operations = [
        {"op": "adjust", "sku": f"SKU-{number}", "delta": 1, "reason": "delivery 42"}
        for number in range(OPERATIONS)
    ]
    return post("/products/bulk", orjson.dumps({"operations": operations, **options}))


def single_requests() -> list[bytes]:
    """Return requests that adjust one product each, spread over all of them."""
    body = orjson.dumps({"delta": 1, "reason": "delivery 42"})
    step = OPERATIONS // SINGLES
    return [post(f"/products/{n * step + 1}/stock-adjustments", body) for n in range(SINGLES)]


def _seconds(connection: HttpConnection, requests: Sequence[bytes], status: int) -> float:
    began = time.perf_counter()
    for request in requests:
        response = connection.request(request)
        refused = status == 200 and response.body.count(b'"status":201') != OPERATIONS
        if response.status != status or refused:
            raise SystemExit(f"{response.status}: {response.body[:300]!r}")
    return time.perf_counter() - began
