"""What each kind of request costs the service, PostgreSQL and Redis, on one and on two hosts.

The figures are seconds of CPU: unlike rates they hold on a machine with other cores, and while
the servers and the load share the cores, as they do here.
"""

import random
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from sqlalchemy import insert, text

from app.text import fold
from bench.load import SETTLE_SECONDS, cpu_seconds
from bench.table import print_table
from inventory.models import Product
from stack.servers import Postgres, Redis
from stress.data import BOOKS, PRODUCT, REVIEW, WORDS, create_unpooled_engine, fill
from stress.http_client import HttpConnection, get, json_request, post
from stress.service import LiveService

PRODUCTS = 50_000
BULK_ROWS = 100
CONNECTIONS = 8
"""For each host."""
SETUPS = {"one worker": (1, 1), "one host, 2 workers": (1, 2), "two hosts, 2 workers each": (2, 2)}
"""The hosts, and the workers of each."""
ADJUST = b'{"delta": 1, "reason": "delivery 42"}'
HOLD = b'{"quantity": 1, "expires_in": 900, "reason": "cart 7"}'
PLAIN_WORDS = [word for word in WORDS if word.isascii()]
MakeRequest = Callable[[random.Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of request, and how often it is sent in a round."""

    name: str
    request: MakeRequest
    count: int
    status: int = 200
    units: int = 1
    """What a request does so many times; the figures are for one."""


def run(quick: bool) -> None:
    """Measure all kinds in each set-up."""
    print("CPU of one request in microseconds. A core serves: requests per second of a core that")
    print("has nothing to do but the work of the service.\n")
    for name, (hosts, workers) in SETUPS.items():
        print(f"### {name}\n")
        rows = _measure(hosts, workers, 10 if quick else 1)
        print_table(
            ["request", "service", "PostgreSQL", "Redis", "a core serves", "/ s here"], rows
        )
        print()


def kinds() -> Sequence[Kind]:
    """Return what is measured."""
    return (
        Kind("product, in memory", lambda _: get("/products/1"), 20_000),
        Kind("list of 20 books, in memory", lambda _: get("/books"), 20_000),
        Kind("product, a miss", lambda rng: get(f"/products/{_product(rng)}"), 3_000),
        Kind("search by name, a miss", _search, 2_000),
        Kind("reviews of a book, a miss", _reviews, 3_000),
        Kind("new review", lambda rng: post(f"/books/{_book(rng)}/reviews", REVIEW), 2_000, 201),
        Kind("new price", _new_price, 2_000),
        Kind(
            "stock adjustment", partial(_post_to_product, "stock-adjustments", ADJUST), 2_000, 201
        ),
        Kind("hold", partial(_post_to_product, "holds", HOLD), 2_000, 201),
        Kind("stock adjustment in bulk", _bulk, 100, units=BULK_ROWS),
    )


def _product(rng: random.Random) -> int:
    return rng.randint(2, PRODUCTS)


def _book(rng: random.Random) -> int:
    return rng.randint(2, BOOKS)


def _search(rng: random.Random) -> bytes:
    name = "+".join(rng.sample(PLAIN_WORDS, 2))
    return get(f"/products/search?name={name}&min_price={rng.randint(1, 9)}.{rng.randint(10, 99)}")


def _reviews(rng: random.Random) -> bytes:
    return get(f"/books/{_book(rng)}/reviews?limit={rng.randint(1, 100)}")


def _new_price(rng: random.Random) -> bytes:
    body = b'{"price": "%d.%02d"}' % (rng.randint(1, 99), rng.randint(0, 99))
    return json_request("PATCH", f"/products/{_product(rng)}", body)


def _post_to_product(what: str, body: bytes, rng: random.Random) -> bytes:
    return post(f"/products/{_product(rng)}/{what}", body)


def _bulk(rng: random.Random) -> bytes:
    row = '{"op": "adjust", "id": %d, "delta": 1, "reason": "delivery 42"}'
    rows = ", ".join(row % number for number in rng.sample(range(2, PRODUCTS), BULK_ROWS))
    return post("/products/bulk", f'{{"operations": [{rows}]}}'.encode())


def _measure(hosts: int, workers: int, divisor: int) -> list[Sequence[object]]:
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(Postgres()), stack.enter_context(Redis())
        url = postgres.new_database("capacity")
        fill(url)
        print(f"A product takes {add_products(url):,.0f} bytes in PostgreSQL, with its indexes.\n")
        settings = {"DATABASE_URL": url, "REDIS_URL": redis.url}
        services = [
            stack.enter_context(LiveService("asgi:app", workers, **settings)) for _ in range(hosts)
        ]
        connections = [
            stack.enter_context(closing(HttpConnection(service.port)))
            for _ in range(CONNECTIONS)
            for service in services
        ]
        pids = {
            "service": [service.master for service in services],
            "PostgreSQL": [postgres.pid or 0],
            "Redis": [redis.pid or 0],
        }
        rng = random.Random(1)
        return [_row(each, connections, pids, rng, divisor) for each in kinds()]


def _row(
    kind: Kind,
    connections: Sequence[HttpConnection],
    pids: Mapping[str, Sequence[int]],
    rng: random.Random,
    divisor: int,
) -> Sequence[object]:
    count = max(kind.count // divisor, len(connections))
    messages = iter(lambda: kind.request(rng), b"")
    exchange(connections, messages, count // 5, kind.status)
    before = {name: sum(map(cpu_seconds, each)) for name, each in pids.items()}
    seconds = exchange(connections, messages, count, kind.status)
    time.sleep(SETTLE_SECONDS)
    units = count * kind.units
    used = {
        name: (sum(map(cpu_seconds, each)) - before[name]) / units for name, each in pids.items()
    }
    micros = [f"{each * 1e6:,.0f}" for each in used.values()]
    return [kind.name, *micros, f"{1 / used['service']:,.0f}", f"{units / seconds:,.0f}"]


def exchange(
    connections: Sequence[HttpConnection], messages: Iterator[bytes], count: int, status: int
) -> float:
    """Send so many requests, one at a time on each connection; return the seconds."""
    poll, began, left = select.epoll(), time.perf_counter(), count
    by_fd = {each.socket.fileno(): each for each in connections}
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        connection.send(next(messages))
    left -= len(by_fd)
    waiting = len(by_fd)
    while waiting:
        for fd, _ in poll.poll(10):
            connection = by_fd[fd]
            if not connection.receive():
                continue
            if connection.status != status:
                raise SystemExit(f"{connection.head!r} instead of {status}")
            if left > 0:
                connection.send(next(messages))
                left -= 1
            else:
                waiting -= 1
    poll.close()
    return time.perf_counter() - began


def add_products(url: str) -> float:
    """Add PRODUCTS with different names and prices; return the bytes that each takes."""
    rng, words = random.Random(3), cycle(WORDS)
    rows = []
    for number in range(2, PRODUCTS + 1):
        name = f"{next(words)} {' '.join(rng.sample(WORDS, 3))}".capitalize()
        price = f"{rng.randint(1, 99)}.{rng.randint(0, 99):02}"
        row = {**PRODUCT, "sku": f"SKU-{number}", "name": name, "price": price, "stock_level": 90}
        rows.append({**row, "folded": fold(name)})
    with create_unpooled_engine(url).begin() as connection:
        connection.execute(insert(Product), rows)
        connection.execute(text("ANALYZE"))
        size: int = connection.execute(
            text("SELECT pg_total_relation_size('product')")
        ).scalar_one()
        return size / PRODUCTS
