"""REST through asgi.py beside wsgi.py: what the way through an event loop costs."""

from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median

from bench import load
from bench.asgi import Asgi
from bench.table import show, spread
from stress.service import Service

PATHS = ("/books?limit=50", "/books/1")
CONNECTIONS = 8


def measure(settings: Mapping[str, str], quick: bool) -> None:
    """Load both, cached and not, in turns."""
    rounds, seconds = (3, 0.3) if quick else (11, 0.8)
    uncached = {"DATABASE_URL": settings["DATABASE_URL"]}
    rows = []
    with ExitStack() as stack:
        for name, given in (("cached", settings), ("uncached", uncached)):
            pair = Service(**given), Asgi(**given)
            ports = [stack.enter_context(service).port for service in pair]
            for path in PATHS:
                for port in ports:
                    load.measure(port, path, 0.3, CONNECTIONS)  # warm, and fill the cache
                found = [[_rate(port, path, seconds) for port in ports] for _ in range(rounds)]
                wsgi, asgi = zip(*found, strict=True)
                ratios = [there / here for here, there in found]
                rates = f"{median(wsgi):,.0f}", f"{median(asgi):,.0f}"
                rows.append((f"{path}, {name}", *rates, spread(ratios)))
    print(f"\nREST, one worker, {CONNECTIONS} connections, requests/s, median of rounds\n")
    show(["GET", "wsgi.py", "asgi.py", "asgi / wsgi"], rows)


def _rate(port: int, path: str, seconds: float) -> float:
    rate = load.measure(port, path, seconds, CONNECTIONS)
    if rate.failed:
        raise SystemExit(f"{path}: {rate.failed} failed")
    return rate.per_second
