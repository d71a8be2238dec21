"""New reviews of different books at once: what it costs to number them in commit order."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from threading import Barrier
from typing import Any
from unittest.mock import patch

from flask import Flask
from flask_migrate import upgrade

from app import unit_of_work as telling
from app.config import Settings, database_url
from app.extensions import db
from app.factory import create_app
from bench.table import show
from bookreview import services
from stack.servers import Postgres
from stress.service import SECRET

THREADS = 8
WORDS: dict[str, Any] = {"rating": 4, "reviewer": "Ana", "text": "Read in one night. " * 10}


def run(quick: bool) -> None:
    """Measure PostgreSQL without and with waiting for the disk at each commit."""
    seconds, rounds = (1, 3) if quick else (4, 9)
    print(
        f"\nPostgreSQL: {THREADS} threads of one process, each adds reviews to a book of its own;"
    )
    print(f"reviews/s, median of {rounds} rounds of {seconds} s in turns\n")
    table = [_measured(durable, seconds, rounds) for durable in (False, True)]
    show(["commit", "with events", "without", "ratio"], table)


def _measured(durable: bool, seconds: float, rounds: int) -> list[object]:
    with Postgres(durable=durable) as server:
        app = _app(server.new_database("bench"))
        with app.app_context():
            upgrade()
            books = [services.add_book("Emma", "Jane Austen").id for _ in range(THREADS)]
            pairs = [_round(app, books, seconds) for _ in range(rounds)]
            db.engine.dispose()
    told, untold = (median(found) for found in zip(*pairs, strict=True))
    ratio = median(a / b for a, b in pairs)
    return ["on disk" if durable else "in memory", f"{told:.0f}", f"{untold:.0f}", f"{ratio:.2f}"]


def _app(url: str) -> Flask:
    settings = Settings(database_url=database_url(url), secret_key=SECRET, testing=True)
    return create_app(settings)


def _round(app: Flask, books: list[int], seconds: float) -> tuple[float, float]:
    told = _rate(app, books, seconds)
    with patch.object(telling.Telling, "place", lambda _: None):
        return told, _rate(app, books, seconds)


def _rate(app: Flask, books: list[int], seconds: float) -> float:
    together = Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(partial(_added, app, together, seconds), books)) / seconds


def _added(app: Flask, together: Barrier, seconds: float, book: int) -> int:
    together.wait()
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        with app.app_context():  # as each request has one, and a session of its own
            services.add_review(book, **WORDS)
        count += 1
    return count
