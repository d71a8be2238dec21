"""Requests per second of lists and a product, cached and uncached, beside plain services."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.load import Rate, measure
from bench.table import print_table, spread
from stack.servers import Postgres, Redis
from stress.data import fill
from stress.http_client import HttpConnection, get
from stress.service import Service

PATHS = {
    "books": "/books?limit=50",
    "reviews": "/books/1/reviews?limit=50",
    "product": "/products/1",
}
ITEMS = {"books": 50, "reviews": 50, "product": 1}
CACHED, UNCACHED = "ours, cached", "ours, uncached"
BARE, FLASK_REDIS, FLASK_ORM = "bare WSGI", "Flask + Redis GET", "Flask + ORM + marshmallow"
CONNECTIONS = 8
# (name of the path, our service, the other service, minimum of the ratio)
TARGETS = [
    ("books", CACHED, FLASK_REDIS, 0.85),
    ("books", UNCACHED, FLASK_ORM, 1.8),
    ("product", CACHED, FLASK_REDIS, 0.8),
]
PAIRS = [(CACHED, FLASK_REDIS), (CACHED, BARE), (UNCACHED, FLASK_ORM), (CACHED, UNCACHED)]

Rounds = Mapping[str, Sequence[Rate]]
"""The results of each service, round by round."""


def run(quick: bool) -> None:
    """Measure all paths and compare the ratios with the targets."""
    rounds, seconds = (3, 0.3) if quick else (11, 0.8)
    with start_services() as ports:
        results = {
            name: _measure_rounds(ports, path, rounds, seconds) for name, path in PATHS.items()
        }
    for name, path in PATHS.items():
        _print_rates(path, results[name])
    _print_ratios(results)
    _print_maximum(results["books"][BARE])


@contextmanager
def start_services() -> Iterator[dict[str, int]]:
    """Start all services with one worker each, on one PostgreSQL and one Redis."""
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        redis = stack.enter_context(Redis())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = postgres.new_database("bench")
        fill(url)
        urls = {"DATABASE_URL": url, "REDIS_URL": redis.url}
        cached = stack.enter_context(Service(**urls))
        _save_bodies(cached.port, folder)
        bodies = {"BODIES": str(folder)}
        others = {
            UNCACHED: Service(DATABASE_URL=url),
            BARE: Service("bench.peers.bare:app", **bodies),
            FLASK_REDIS: Service("bench.peers.flask_redis:app", **bodies, **urls),
            FLASK_ORM: Service("bench.peers.flask_orm:app", DATABASE_URL=url),
        }
        for service in others.values():
            stack.enter_context(service)
        yield {name: service.port for name, service in {CACHED: cached, **others}.items()}


def _save_bodies(port: int, folder: Path) -> None:
    """Save our responses for the plain services; this also fills the cache."""
    connection = HttpConnection(port)
    for name, path in PATHS.items():
        response = connection.request(get(path))
        if response.status != 200 or response.body.count(b'"id":') != ITEMS[name]:
            raise SystemExit(f"{path}: {response.status}, {response.body[:200]!r}")
        (folder / name).write_bytes(response.body)
    connection.close()


def _measure_rounds(ports: Mapping[str, int], path: str, rounds: int, seconds: float) -> Rounds:
    for port in ports.values():
        measure(port, path, 0.2, CONNECTIONS)  # warm up
    results: dict[str, list[Rate]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            rate = measure(port, path, seconds, CONNECTIONS)
            if rate.failed or rate.hits != float(name == CACHED):
                raise SystemExit(f"{name}: {rate.failed} failed, {rate.hits:.1%} hits")
            results[name].append(rate)
    return results


def _print_rates(path: str, results: Rounds) -> None:
    print(f"\nGET {path}, one worker, {CONNECTIONS} connections, median of rounds\n")
    rows = [
        (
            name,
            f"{median(rate.per_second for rate in rates):,.0f}",
            f"{median(rate.p50 for rate in rates):.2f}",
            f"{median(rate.p99 for rate in rates):.2f}",
        )
        for name, rates in results.items()
    ]
    print_table(["service", "requests/s", "p50 ms", "p99 ms"], rows)


def _print_ratios(results: Mapping[str, Rounds]) -> None:
    print("\nRatios of requests/s, round by round: median (quartiles)\n")
    rows = [
        (f"{PATHS[name]}: {left} / {right}", spread(ratios(results[name], left, right)))
        for name in PATHS
        for left, right in PAIRS
    ]
    print_table(["ratio", "median"], rows)
    for name, left, right, minimum in TARGETS:
        ratio = median(ratios(results[name], left, right))
        outcome = "met" if ratio >= minimum else "MISSED"
        print(f"target, {PATHS[name]}: {left} >= {minimum} x {right}: {ratio:.3f}, {outcome}")


def ratios(results: Rounds, left: str, right: str) -> list[float]:
    """Return the ratio of two services in each round."""
    pairs = zip(results[left], results[right], strict=True)
    return [one.per_second / other.per_second for one, other in pairs]


def _print_maximum(rates: Sequence[Rate]) -> None:
    cpu, rate = median(r.own_cpu for r in rates), median(r.per_second for r in rates)
    print(
        f"\nThe load generator used {cpu * 1e6:.0f} us of CPU for each request to the bare app, "
        f"{cpu * rate:.0%} of a core; its maximum is about {1 / cpu:,.0f} requests/s."
    )
