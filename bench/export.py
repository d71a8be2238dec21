"""Exports of a million reviews: rows in a second, the memory of the worker, and other requests."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import text

from bench.memory import resident_mib
from bench.table import print_table
from stress.data import create_unpooled_engine, fill, new_database
from stress.http_client import HttpConnection, get
from stress.service import LiveService, Service
from stress.stats import percentile

ROWS, QUICK_ROWS = 1_000_000, 50_000
BOOKS = 1_000
KINDS = {"asgi": LiveService, "wsgi": Service}
FORMS = {"NDJSON": ("ndjson", ""), "CSV": ("csv", ""), "NDJSON, gzip": ("ndjson", "gzip")}
SAMPLE_SECONDS = 0.02
PROBE_SECONDS = 5.0
COPY = """
INSERT INTO review (book_id, rating, reviewer, text, created_at)
SELECT book_id, rating, reviewer, text, created_at FROM review WHERE id <= :count
"""


def run(quick: bool) -> None:
    """Export the reviews under both servers, from both databases, in each format."""
    rows = QUICK_ROWS if quick else ROWS
    print(f"{rows:,} reviews, one worker, a client that reads at once. MiB: how much the resident")
    print("memory of the worker grows at most, after an export of books has warmed it up.\n")
    figures, beside = [], []
    for sqlite in (False, True):
        with new_database(sqlite=sqlite) as url:
            add_reviews(url, rows)
            database = "SQLite" if sqlite else "PostgreSQL"
            for name, kind in KINDS.items():
                with kind(f"{name}:app", 1, DATABASE_URL=url) as service:
                    for form in FORMS:
                        where = f"{name}, {database}, {form}"
                        figures.append([where, *measure(service, form, rows)])
                    beside.append([f"{name}, {database}", *measure_others(service)])
    print_table(["export", "rows/s", "MB", "MiB"], figures)
    print(
        f"\nGET /books/1 on one connection for {PROBE_SECONDS:.0f} s, alone and beside exports:\n"
    )
    heads = [f"{n} {each}" for n in (0, 1, 2) for each in ("p50 ms", "p99 ms")]
    print_table(["exports", *heads], beside)


def add_reviews(url: str, rows: int) -> None:
    """Add books, and ``rows`` reviews of the first one, with texts of 50 to 400 characters."""
    fill(url, books=BOOKS, reviews=QUICK_ROWS)
    with create_unpooled_engine(url).begin() as connection:
        for _ in range(rows // QUICK_ROWS - 1):
            connection.execute(text(COPY), {"count": QUICK_ROWS})


def measure(service: Service, form: str, rows: int) -> list[object]:
    """Return rows in a second, megabytes, and the growth of the worker."""
    [pid] = service.workers()
    read_export(service, "/books/export", form)
    before = peak = resident_mib(pid)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS):
            peak = max(peak, resident_mib(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    size = read_export(service, "/reviews/export", form)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    return [f"{rows / seconds:,.0f}", f"{size / 1e6:,.0f}", f"{peak - before:.1f}"]


def read_export(service: Service, path: str, form: str) -> int:
    """Read an export to its end, and return its bytes; raise if it is not complete."""
    name, encoding = FORMS[form]
    with closing(http.client.HTTPConnection("127.0.0.1", service.port)) as connection:
        connection.request("GET", f"{path}?format={name}", headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise SystemExit(f"{path}: {response.status}")
        size = 0
        while chunk := response.read(1_000_000):
            size += len(chunk)
    return size


def measure_others(service: Service) -> list[object]:
    """Return p50 and p99 of other requests beside no, one and two exports."""
    cells: list[object] = []
    for count in (0, 1, 2):
        with exporting(service, count):
            seconds = probe(service)
        cells += [f"{percentile(seconds, percent) * 1000:.1f}" for percent in (50, 99)]
    return cells


@contextmanager
def exporting(service: Service, count: int) -> Iterator[None]:
    """Let ``count`` clients read exports, one after the other, while the block runs."""
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            read_export(service, "/reviews/export", "CSV")

    clients = [threading.Thread(target=read) for _ in range(count)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        is_over.set()
        for client in clients:
            client.join()


def probe(service: Service) -> list[float]:
    """Return the seconds that each of many requests for a book took."""
    seconds = []
    with closing(HttpConnection(service.port)) as connection:
        until = time.perf_counter() + PROBE_SECONDS
        while time.perf_counter() < until:
            response = connection.request(get("/books/1"))
            seconds.append(response.ended - response.began)
    return seconds
