"""The memory of one worker while many different URLs are read, and a few of them often."""

import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import insert

from bench.load import cpu_seconds
from bench.table import print_table
from inventory.models import Product
from stress.data import PRODUCT, create_unpooled_engine, new_database
from stress.http_client import HttpConnection, get
from stress.service import LiveService

URLS, QUICK_URLS = 50_000, 5_000
ROWS = 20
OFTEN, EVERY = 10, 20
"""So many URLs are requested often: one of them after so many others."""
MIB = 8


def run(quick: bool) -> None:
    """Read all URLs with a memory of MIB and without one, and print how the process grows."""
    urls = QUICK_URLS if quick else URLS
    print(f"{urls:,} different lists of {ROWS} products, each read once, and between them {OFTEN}")
    print("that are read often. One asgi worker on SQLite without Redis.\n")
    rows = [_measure(mib, urls) for mib in (MIB, 0)]
    parts = ["1/50", "1/10", "1/2", "1"]
    print_table(["CACHE_MEMORY_MIB", *(f"MiB at {part}" for part in parts), "hits", "CPU s"], rows)
    print("\nMiB: resident memory after that part of the URLs. hits: of the URLs read often.")


def _measure(mib: int, urls: int) -> list[object]:
    with new_database(sqlite=True) as url:
        add_products(url, ROWS)
        service = LiveService("asgi:app", 1, DATABASE_URL=url, CACHE_MEMORY_MIB=str(mib))
        with service, closing(HttpConnection(service.port)) as connection:
            [pid] = service.workers()
            hits, sizes, cpu = 0, [], cpu_seconds(pid)
            for number in range(urls):
                connection.request(get(rare_path(number)))
                if number % EVERY == 0:
                    hits += connection.request(get(often_path(number // EVERY))).is_hit
                if number + 1 in {urls // 50, urls // 10, urls // 2, urls}:
                    time.sleep(0.2)
                    sizes.append(f"{resident_mib(pid):.1f}")
            cpu = cpu_seconds(pid) - cpu
    return [mib, *sizes, f"{hits / (urls // EVERY):.1%}", f"{cpu:.0f}"]


def add_products(url: str, count: int) -> None:
    """Add products to a migrated database."""
    with create_unpooled_engine(url).begin() as connection:
        rows = [{**PRODUCT, "sku": f"SKU-{number}"} for number in range(count)]
        connection.execute(insert(Product), rows)


def rare_path(number: int) -> str:
    """Return the path of a list that contains all products."""
    return f"/products/search?max_price={100 + number / 100:.2f}&limit={ROWS}"


def often_path(number: int) -> str:
    """Return one of the paths that are read often."""
    return f"/products/{number % OFTEN + 1}"


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1024**2
