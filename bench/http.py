"""Requests per CPU second and per second, beside plain services."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from statistics import median

from bench.comparison import Ratio, Scenario, measure_rounds, outcomes, print_results
from bench.load import CLIENTS, Rate
from bench.servers import (
    ASGI,
    ASGI_H1C,
    ASGI_LIMITED,
    ASGI_SQLITE,
    ASGI_UNCACHED,
    BARE,
    FASTAPI_MEMORY,
    FASTAPI_ORM,
    FASTAPI_REDIS,
    FLASK_ORM,
    FLASK_REDIS,
    WSGI,
    WSGI_SQLITE,
    WSGI_UNCACHED,
    has_h1c,
    start_servers,
)

BOOKS, REVIEWS, PRODUCT = "/books?limit=50", "/books/1/reviews?limit=50", "/products/1"
PACKAGES = ("gunicorn", "uvloop", "uvicorn", "httptools", "fastapi", "flask")
CACHED = [Ratio(ASGI, FASTAPI_REDIS), Ratio(ASGI, FASTAPI_MEMORY), Ratio(WSGI, FLASK_REDIS)]
UNCACHED = [Ratio(ASGI_UNCACHED, FASTAPI_ORM), Ratio(WSGI_UNCACHED, FLASK_ORM)]
SCENARIOS = [
    Scenario(
        "cached list",
        BOOKS,
        [
            Ratio(ASGI, FASTAPI_REDIS, 3.0),
            Ratio(ASGI, FASTAPI_MEMORY, 1.0),
            *([Ratio(ASGI_H1C, ASGI)] if has_h1c() else []),
            Ratio(ASGI, WSGI),
            Ratio(WSGI, FLASK_REDIS, 0.85, per="s"),
            Ratio(WSGI, BARE),
            Ratio(ASGI_SQLITE, FASTAPI_MEMORY),
            Ratio(WSGI_SQLITE, WSGI),
        ],
    ),
    Scenario("cached product", PRODUCT, [*CACHED[:2], Ratio(WSGI, FLASK_REDIS, 0.8, per="s")]),
    Scenario("cached reviews", REVIEWS, CACHED),
    Scenario(
        f"{CLIENTS:,} clients with limits",
        BOOKS,
        [Ratio(ASGI_LIMITED, FASTAPI_REDIS), Ratio(ASGI_LIMITED, ASGI)],
        many_clients=True,
    ),
    Scenario("one connection", BOOKS, CACHED, connections=1),
    Scenario(
        "uncached list",
        BOOKS,
        [
            Ratio(ASGI_UNCACHED, FASTAPI_ORM, 2.0),
            Ratio(WSGI_UNCACHED, FLASK_ORM, 1.8, per="s"),
            Ratio(ASGI_UNCACHED, WSGI_UNCACHED),
        ],
    ),
    Scenario("uncached product", PRODUCT, UNCACHED),
    Scenario("uncached reviews", REVIEWS, UNCACHED),
]


def run(quick: bool) -> None:
    """Measure all scenarios and compare the ratios with the targets."""
    rounds, seconds = (3, 0.3) if quick else (11, 0.8)
    targets: list[str] = []
    generator = 0.0
    _print_setting()
    with start_servers() as servers:
        for scenario in SCENARIOS:
            results = measure_rounds(scenario, servers, rounds, seconds)
            print_results(scenario, results)
            targets += outcomes(scenario, results)
            generator = max(generator, *map(_generator_load, results.values()))
    print("\n" + "\n".join(targets))
    print(f"\nThe load generator used {generator:.0%} of a core at most (median of rounds).")


def _print_setting() -> None:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"Python {platform.python_version()}, {versions}; h1c installed: {has_h1c()}")
    print(f"{os.cpu_count()} cores, load average before the start {os.getloadavg()[0]:.1f}")


def _generator_load(rates: Iterable[Rate]) -> float:
    return median(rate.own_cpu * rate.per_second for rate in rates)
