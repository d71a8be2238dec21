"""The end of a hold, seen through every cache: nothing is written at that instant."""

import json
import time
from datetime import datetime
from typing import Any

import pytest

LAMP = {"sku": "l1", "name": "Lamp", "price": 1, "stock_level": 10}
PATHS = ["/products/1", "/products", "/products?sort=-price", "/products/search?name=lam"]
AFTER = 0.3
"""Seconds for which is read after the end."""


@pytest.fixture(params=["wsgi", "asgi"])
def served(request, serve, serve_live, database, redis_url):
    """A service with two workers of each kind: on SQLite alone, and on PostgreSQL with Redis."""
    settings = {"DATABASE_URL": database, "WEB_CONCURRENCY": "2"}
    if database.startswith("postgres"):
        settings["REDIS_URL"] = redis_url
    return (serve_live if request.param == "asgi" else serve)(**settings)


def post(served, path: str, body: Any) -> Any:
    status, _, answer = served.request("POST", path, json.dumps(body).encode())
    assert status == 201
    return json.loads(answer)


def read(served, path: str) -> tuple[float, int, bool]:
    """Return when the read began, how many lamps it says are available, and if it was a hit."""
    began = time.time()
    status, headers, body = served.request("GET", path)
    assert status == 200
    shown = json.loads(body)
    lamp = shown["items"][0] if "items" in shown else shown
    return began, lamp["available"], "hit" in headers["Cache-Status"]


def test_no_cache_serves_a_hold_after_its_end(served):
    post(served, "/products", LAMP)
    for seconds in (2, 8, 32):  # a busy machine needs more time to fill and to read the caches
        made = post(served, "/products/1/holds", {"quantity": 3, "expires_in": seconds})
        end = datetime.fromisoformat(made["expires_at"]).timestamp()
        reads = []
        while time.time() < end + AFTER:
            reads += [read(served, path) for path in PATHS]
        reads += [read(served, path) for path in PATHS]
        assert {available for began, available, _ in reads if began >= end} == {10}
        assert {available for _, available, _ in reads} <= {7, 10}
        if any(is_hit and available == 7 for _, available, is_hit in reads):
            return
    pytest.fail("no cache served a response that counts the hold")
