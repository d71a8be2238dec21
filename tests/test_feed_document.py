"""The program of docs/feed.md, as it is printed: its copy equals the shop under writers."""

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.waiting import wait_until

DOCUMENT = Path(__file__).parents[1] / "docs/feed.md"
DERIVED = {"review_count", "average_rating", "stars", "source_id", "available", "delta", "reason"}
TABLES = ("books", "reviews", "products")


@pytest.fixture
def program(tmp_path):
    (block,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    path = tmp_path / "copy_shop.py"
    path.write_text(block)
    return path


@pytest.fixture
def run(live, program, tmp_path):
    """Start the program again, after it was killed."""
    command = [sys.executable, program, f"http://127.0.0.1:{live.port}", tmp_path / "shop.json"]
    running = []

    def start():
        stop()
        running.append(subprocess.Popen(command))

    def stop():
        while running:
            process = running.pop()
            process.kill()
            process.wait()

    yield start
    stop()


def send(live, method, path, body=None):
    sent = None if body is None else json.dumps(body).encode()
    status, _, received = live.insist(method, path, sent)
    assert status < 300, received
    return json.loads(received) if received else None


def write(live, name):
    """Make changes of every kind."""
    for number in range(8):
        book = send(live, "POST", "/books", {"title": f"Emma {number}", "author": name})["id"]
        body = {"rating": 1 + number % 5, "reviewer": name, "text": "Read in one night."}
        first, second = (send(live, "POST", f"/books/{book}/reviews", body)["id"] for _ in "ab")
        send(live, "PATCH", f"/reviews/{first}", {"rating": 5, "text": f"Better: {number}"})
        send(live, "DELETE", f"/reviews/{second}")
        sku = f"feed-{name}-{number}"
        body = {"sku": sku, "name": "Lamp", "price": "9.99", "stock_level": 9}
        product = f"/products/{send(live, 'POST', '/products', body)['id']}"
        send(live, "PATCH", product, {"price": "8.50", "stock_level": 7})
        hold = send(live, "POST", f"{product}/holds", {"quantity": 2, "expires_in": 600})["id"]
        send(live, "POST", f"/holds/{hold}/commit", {})
        send(live, "PATCH", product, {"archived": True})
        if number % 2:
            send(live, "DELETE", f"/reviews/{first}")
            send(live, "DELETE", f"/books/{book}")


def exported(live, table):
    # Another export may not have noticed yet that its client was killed.
    status, _, body = live.insist("GET", f"/{table}/export?format=ndjson")
    assert status == 200
    return {str(row["id"]): row for row in map(json.loads, body.splitlines())}


def own_fields(rows):
    return {
        number: {name: value for name, value in row.items() if name not in DERIVED}
        for number, row in rows.items()
    }


def test_the_copy_of_the_printed_program_equals_the_shop(live, run, tmp_path):
    threads = [threading.Thread(target=write, args=(live, f"w{number}")) for number in range(3)]
    for thread in threads:
        thread.start()
    run()
    wait_until((tmp_path / "shop.json").exists)
    run()  # it is killed, and continues from its file
    for thread in threads:
        thread.join()
    log, _, position = live.cursor().rpartition("-")

    def copy():
        return json.loads((tmp_path / "shop.json").read_text())

    def has_arrived():
        shown_log, _, shown = copy()["cursor"].rpartition("-")
        return shown_log == log and int(shown) >= int(position)

    wait_until(has_arrived)
    shop = copy()
    for table in TABLES:
        assert own_fields(shop[table]) == own_fields(exported(live, table)), table
    for number, book in exported(live, "books").items():
        ratings = [
            one["rating"] for one in shop["reviews"].values() if one["book_id"] == int(number)
        ]
        assert book["review_count"] == len(ratings)
        assert book["stars"] == {str(star): ratings.count(star) for star in range(1, 6)}


def test_the_program_begins_again_when_its_events_are_gone(live, run, tmp_path):
    old = {"cursor": "0123456789abcdef-1", "books": {"0": {}}, "reviews": {}, "products": {}}
    path = tmp_path / "shop.json"
    path.write_text(json.dumps(old))
    run()

    def books():
        return json.loads(path.read_text())["books"]

    def has_begun_again():
        # The program writes its file after the next event, for which it waits 20 s.
        send(live, "POST", "/books", {"title": "Emma", "author": "Jane Austen"})
        time.sleep(0.2)
        return "0" not in books()

    wait_until(has_begun_again)
    wait_until(lambda: own_fields(books()) == own_fields(exported(live, "books")))
