"""Lists and searches of very many products: any depth, any sort, rare and common names."""

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy import select

from app.api.cursors import seal
from app.api.pagination import PageRequest
from app.config import Settings, database_url
from app.db import engine as database
from app.db.engine import rows
from app.extensions import db
from app.factory import create_app
from bench.many_products import RARE, fill
from bench.table import percentile, show
from bench.timing import DATABASES, interleaved, timed
from inventory import queries, search
from inventory.models import Product
from inventory.schemas import SORTS
from stress.service import SECRET

LIMIT = 20
DEPTH_MOST, RARE_MOST = 1.5, 5.0
PLAIN = select(*queries.PRODUCT, Product.folded)
Reads = Mapping[str, Callable[[], float]]


class Search(NamedTuple):
    """One search; ``most`` is its target, as a multiple of a read by id."""

    label: str
    sort: str
    filters: Mapping[str, Any]
    most: float | None = None


RANGE = {"min_price": Decimal(20), "max_price": Decimal(60)}
NARROW = {"min_price": Decimal(20), "max_price": Decimal(21)}
NOBODYS = {"min_price": Decimal(5000), "max_price": Decimal(6000)}
SEARCHES = [
    *(Search(f"rare name, by {sort}", sort, {"name": RARE}, RARE_MOST) for sort in SORTS),
    Search("rare name in a price range", "id", {"name": RARE, **RANGE}, RARE_MOST),
    Search("the same, by -price", "-price", {"name": RARE, **RANGE}, RARE_MOST),
    Search("a name that never occurs", "id", {"name": "xylophone"}, RARE_MOST),
    *(Search(f"common name, by {sort}", sort, {"name": "lamp"}) for sort in SORTS),
    Search("common name in a price range", "id", {"name": "lamp", **RANGE}),
    Search("the same, by name", "name", {"name": "lamp", **RANGE}),
    Search("two common words, by price", "price", {"name": "brass lamp"}),
    Search("two letters", "id", {"name": "la"}),
    Search("two letters, by -price", "-price", {"name": "la"}),
    Search("two letters that never occur", "id", {"name": "qx"}),
    Search("the same, by name", "name", {"name": "qx"}),
    Search("no three letters in a row", "id", {"name": "a4 12"}),
    Search("narrow price range, by price", "price", NARROW),
    Search("narrow price range, by id", "id", NARROW),
    Search("narrow price range, by name", "name", NARROW),
    Search("price range without any, by name", "name", NOBODYS),
]


def run(quick: bool) -> None:
    """Measure both databases."""
    count, times = (50_000, 20) if quick else (1_000_000, 100)
    for name, new_database in DATABASES.items():
        with new_database() as url:
            began = time.perf_counter()
            fill(name, url, count)
            took = time.perf_counter() - began
            print(f"\n{name}: {count:,} products, made in {took:.0f} s; pages of {LIMIT},")
            print("times of the query alone, in process and without a cache\n")
            _measure(url, count, times)


def _measure(url: str, count: int, times: int) -> None:
    # What is beside us takes longer than the service would wait.
    database.STATEMENT_MILLISECONDS = 60_000
    settings = Settings(database_url=database_url(url), secret_key=SECRET, testing=True)
    app = create_app(settings)
    _print_depths(app, count * 99 // 100, times)
    _print_searches(app, count, times)
    with app.app_context():
        db.engine.dispose()


def _print_depths(app: Flask, depth: int, times: int) -> None:
    table = []
    for sort in SORTS:
        found = interleaved(_pages(app, sort, depth), times)
        slow = interleaved({"": _by_offset(app, sort, depth)}, max(times // 30, 2))[""]
        first, deep = median(found["first"]), median(found["deep"])
        cells = [f"{ms:.2f}" for ms in (first, deep, percentile(found["deep"], 99))]
        table.append((sort, *cells, _judged(deep / first, DEPTH_MOST), f"{median(slow):.0f}"))
    heads = ("sort", "first ms", f"at {depth:,} ms", "p99 ms", "of the first", "OFFSET ms")
    show(heads, table)
    print()


def _pages(app: Flask, sort: str, depth: int) -> Reads:
    path = f"/products?sort={sort}&limit={LIMIT}"
    with app.test_request_context(path):
        cursor = seal(rows(_ordered(sort).offset(depth - 1).limit(1))[0], queries.ORDERS[sort].keys)
    places = {"first": PageRequest(LIMIT), "deep": PageRequest(LIMIT, cursor)}
    return {
        place: timed(app, path, partial(queries.products, page, sort))
        for place, page in places.items()
    }


def _ordered(sort: str) -> Any:
    order = queries.ORDERS[sort]
    return PLAIN.order_by(*order.of(order.keys))


def _by_offset(app: Flask, sort: str, depth: int) -> Callable[[], float]:
    return timed(app, "/products", partial(rows, _ordered(sort).offset(depth).limit(LIMIT + 1)))


def _print_searches(app: Flask, count: int, times: int) -> None:
    by_id = timed(app, "/products/1", partial(queries.product, count // 2))
    table = []
    for one in SEARCHES:
        path = f"/products/search?sort={one.sort}"
        read = timed(
            app, path, partial(search.products, PageRequest(LIMIT), one.sort, **one.filters)
        )
        few = times if read() < 100 else max(times // 10, 3)
        found = interleaved({"id": by_id, "search": read}, few)
        ratio = median(found["search"]) / median(found["id"])
        slow = interleaved({"": _without_index(app, one)}, 2)[""]
        table.append((one.label, *_cells(found), _judged(ratio, one.most), f"{median(slow):.0f}"))
    show(("search", "read by id ms", "p50 ms", "p99 ms", "of by id", "ILIKE, no index, ms"), table)


def _cells(found: Mapping[str, Sequence[float]]) -> list[str]:
    searched = found["search"]
    return [f"{ms:.2f}" for ms in (median(found["id"]), median(searched), percentile(searched, 99))]


def _without_index(app: Flask, one: Search) -> Callable[[], float]:
    """Ask for the same as most would at first: by ILIKE on the name, all matches sorted."""
    found = PLAIN
    if "name" in one.filters:
        found = found.where(Product.name.ilike(f"%{one.filters['name']}%"))
    if "min_price" in one.filters:
        found = found.where(Product.price.between(*(one.filters[n] for n in RANGE)))
    order = queries.ORDERS[one.sort]
    return timed(
        app, "/products", partial(rows, found.order_by(*order.of(order.keys)).limit(LIMIT))
    )


def _judged(ratio: float, most: float | None) -> str:
    if most is None or ratio <= most:
        return f"{ratio:.1f}" if most is None else f"{ratio:.2f}"
    return f"{ratio:.2f} MISSED"
