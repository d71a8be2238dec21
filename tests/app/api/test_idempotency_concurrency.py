"""Idempotency-Key: simultaneous requests, and processes that are killed."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

from sqlalchemy import text

from app.db.engine import LOCK_TIMEOUT_MS
from app.extensions import db
from tests.app.api.idempotent_posts import count_books, count_stored_responses, post
from tests.waiting import shortest, wait_until

TOO_LONG = 2 * LOCK_TIMEOUT_MS / 1000
ROOT = Path(__file__).parents[3]
KILLED_BEFORE_COMMIT = """
import os, signal, sys
from sqlalchemy import event
from app.config import Settings, database_url
from app.extensions import db
from app.factory import create_app

app = create_app(Settings(database_url=database_url(sys.argv[1]), secret_key="any"))
executed = []

def kill_if_stored(connection):
    if any(statement.startswith("UPDATE first_answer") for statement in executed):
        os.kill(os.getpid(), signal.SIGKILL)

with app.app_context():
    event.listen(db.engine, "after_cursor_execute", lambda *a: executed.append(a[2]))
    event.listen(db.engine, "commit", kill_if_stored)
book = {"title": "Emma", "author": "Jane Austen"}
app.test_client().post("/books", json=book, headers={"Idempotency-Key": "k"})
"""


def test_a_process_killed_before_its_commit_does_not_block_the_key(app, client, database):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_COMMIT, database], check=False, cwd=ROOT
    )
    assert killed.returncode == -signal.SIGKILL
    assert (count_books(app), count_stored_responses(app)) == (0, 0)
    assert post(client).status_code == 201


def test_of_simultaneous_requests_to_two_processes_one_writes_and_all_get_its_response(
    serve, app, database
):
    service = serve(DATABASE_URL=database, WEB_CONCURRENCY="2", RATE_LIMIT_WRITE="off")
    body = b'{"title": "Emma", "author": "Jane Austen", "isbn": "9780439023481"}'
    barrier = Barrier(8)

    def send(number: int) -> Any:
        barrier.wait()
        return wait_until(lambda: final_response(f"k{number // 8}"))

    def final_response(key: str) -> Any:
        """Return None if the first request takes too long, as on a busy machine."""
        response = service.request("POST", "/books", body, Idempotency_Key=key)
        return None if "Retry-After" in response[1] else response

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(send, range(8)))
        assert {status for status, _, _ in responses} == {201}
        assert len({response for _, _, response in responses}) == 1
        replayed = [headers["Idempotency-Replayed"] for _, headers, _ in responses]
        assert sorted(replayed, key=str) == [None, *["true"] * 7]
        # The ISBN is taken now: every request fails, whichever of them runs first.
        assert {status for status, _, _ in pool.map(send, range(8, 16))} == {409}
    assert (count_books(app), count_stored_responses(app)) == (1, 1)


def test_a_request_that_waits_too_long_for_the_first_one_is_a_409_with_retry_after(
    make_app, postgres_database
):
    app = make_app(postgres_database)
    client = app.test_client()
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO first_answer (client, key, fingerprint, created_at)"
                " VALUES ('address 127.0.0.1', 'k', '', now())"
            )
        )

        def seconds_until_409() -> float:
            began = time.monotonic()
            response = post(client)
            assert (response.status_code, response.headers["Retry-After"]) == (409, "2")
            return time.monotonic() - began

        assert shortest(seconds_until_409, TOO_LONG) < TOO_LONG
        connection.rollback()
    assert post(client).status_code == 201
