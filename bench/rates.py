"""Requests per second of lists and a product, cached and not, beside plain services, in one run."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.load import Rate, measure
from bench.table import show, spread
from stack.servers import Postgres, Redis
from stress.data import fill
from stress.http_client import Wire, get
from stress.service import Service

PATHS = {
    "books": "/books?limit=50",
    "reviews": "/books/1/reviews?limit=50",
    "product": "/products/1",
}
ITEMS = {"books": 50, "reviews": 50, "product": 1}
OURS, UNCACHED = "ours, cached", "ours, uncached"
BARE, FLASK_REDIS, FLASK_ORM = "bare WSGI", "Flask + Redis GET", "Flask + ORM + marshmallow"
CONNECTIONS = 8
# (name of the path, ours, beside, least ratio)
TARGETS = [
    ("books", OURS, FLASK_REDIS, 0.85),
    ("books", UNCACHED, FLASK_ORM, 1.8),
    ("product", OURS, FLASK_REDIS, 0.8),
]
PAIRS = [(OURS, FLASK_REDIS), (OURS, BARE), (UNCACHED, FLASK_ORM), (OURS, UNCACHED)]

Rounds = Mapping[str, Sequence[Rate]]


def run(quick: bool) -> None:
    """Measure all paths and judge the targets."""
    rounds, seconds = (3, 0.3) if quick else (11, 0.8)
    with services() as ports:
        found = {name: _rounds(ports, path, rounds, seconds) for name, path in PATHS.items()}
    for name, path in PATHS.items():
        _print_rates(path, found[name])
    _print_ratios(found)
    _print_ceiling(found["books"][BARE])


@contextmanager
def services() -> Iterator[dict[str, int]]:
    """Start all of them, one worker each, on one PostgreSQL and one Redis."""
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        redis = stack.enter_context(Redis())
        bodies = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = postgres.new_database("bench")
        fill(url)
        both = {"DATABASE_URL": url, "REDIS_URL": redis.url}
        ours = stack.enter_context(Service(**both))
        _keep_bodies(ours.port, bodies)
        uncached = Service(DATABASE_URL=url)
        peers = {
            BARE: Service("bench.peers.bare:app", BODIES=str(bodies)),
            FLASK_REDIS: Service("bench.peers.flask_redis:app", BODIES=str(bodies), **both),
            FLASK_ORM: Service("bench.peers.flask_orm:app", DATABASE_URL=url),
        }
        for service in (uncached, *peers.values()):
            stack.enter_context(service)
        all_of_them = {OURS: ours, UNCACHED: uncached, **peers}
        yield {name: service.port for name, service in all_of_them.items()}


def _keep_bodies(port: int, folder: Path) -> None:
    """Take our answers down for the plain services, and fill our cache by that."""
    wire = Wire(port)
    for name, path in PATHS.items():
        status, body = wire.ask(get(path))
        if status != 200 or body.count(b'"id":') != ITEMS[name]:
            raise SystemExit(f"{path} answered {status}, {body[:200]!r}")
        (folder / name).write_bytes(body)
    wire.close()


def _rounds(ports: Mapping[str, int], path: str, rounds: int, seconds: float) -> Rounds:
    for port in ports.values():
        measure(port, path, 0.2, CONNECTIONS)  # warm
    found: dict[str, list[Rate]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            found[name].append(_checked(name, measure(port, path, seconds, CONNECTIONS)))
    return found


def _checked(name: str, rate: Rate) -> Rate:
    hits = 1.0 if name == OURS else 0.0
    if rate.failed or rate.hits != hits:
        raise SystemExit(f"{name}: {rate.failed} failed, {rate.hits:.1%} said hit")
    return rate


def _print_rates(path: str, found: Rounds) -> None:
    print(f"\nGET {path}, one worker, {CONNECTIONS} connections, median of rounds\n")
    rows = [
        (
            name,
            f"{median(rate.per_second for rate in rates):,.0f}",
            f"{median(rate.p50 for rate in rates):.2f}",
            f"{median(rate.p99 for rate in rates):.2f}",
        )
        for name, rates in found.items()
    ]
    show(["service", "requests/s", "p50 ms", "p99 ms"], rows)


def _print_ratios(found: Mapping[str, Rounds]) -> None:
    print("\nRatios of requests/s, round by round: median (middle half)\n")
    rows = [
        (f"{PATHS[name]}: {left} / {right}", spread(ratios(found[name], left, right)))
        for name in PATHS
        for left, right in PAIRS
    ]
    show(["ratio", "median"], rows)
    for name, left, right, least in TARGETS:
        reached = median(ratios(found[name], left, right))
        verdict = "met" if reached >= least else "MISSED"
        print(f"target, {PATHS[name]}: {left} >= {least} x {right}: {reached:.3f}, {verdict}")


def ratios(found: Rounds, left: str, right: str) -> list[float]:
    """Return the ratio of two services in each round."""
    pairs = zip(found[left], found[right], strict=True)
    return [mine.per_second / other.per_second for mine, other in pairs]


def _print_ceiling(rates: Sequence[Rate]) -> None:
    own, rate = median(r.own for r in rates), median(r.per_second for r in rates)
    print(
        f"\nThe load generator took {own * 1e6:.0f} us of CPU for each request to the bare app, "
        f"{own * rate:.0%} of a core; its ceiling is about {1 / own:,.0f} requests/s."
    )
