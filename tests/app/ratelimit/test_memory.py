"""Token counts in memory: of one process, and shared by the workers of one master."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from app.config import Rate
from app.ratelimit import memory as memory_module
from app.ratelimit.limiter import Limiter
from app.ratelimit.memory import LOCK_SECONDS, MemoryStore
from app.ratelimit.window import Window
from stress.http_client import HttpConnection, get
from tests.app.ratelimit.steps import count_admitted
from tests.waiting import PATIENCE

PROCESSES = get_context("fork")


def test_without_a_master_a_process_has_the_whole_quota(make_limited):
    app = make_limited(web_concurrency=2)
    assert count_admitted(app.test_client()) == 10


@pytest.mark.parametrize("worker", ["serve", "serve_live"])
def test_one_connection_gets_the_whole_quota_and_all_workers_together_no_more(
    request, sqlite_database, worker
):
    settings = {"WEB_CONCURRENCY": "2", "RATE_LIMIT_READ": "60/hour"}
    service = request.getfixturevalue(worker)(DATABASE_URL=sqlite_database, **settings)
    with closing(HttpConnection(service.port)) as connection:
        received = [connection.request(get("/books")).status for _ in range(70)]
    assert received == [200] * 60 + [429] * 10
    others = [service.request("GET", "/books")[0] for _ in range(20)]
    assert others == [429] * 20


def admit(path: Path, rate: Rate, times: int) -> int:
    limiter = Limiter("read", Window(rate), [MemoryStore(Window(rate), path)])
    return sum(limiter.admit("x").retry_after is None for _ in range(times))


def test_processes_that_share_a_file_never_use_more_than_the_quota(tmp_path, monkeypatch):
    # On a busy machine one may be suspended with the lock, and the others go on without.
    monkeypatch.setattr(memory_module, "LOCK_SECONDS", PATIENCE)
    rate = Rate(1000, 600)
    with PROCESSES.Pool(4) as pool:
        admitted = pool.starmap(admit, [(tmp_path / "limit", rate, 1000)] * 4)
    assert 900 <= sum(admitted) <= 1000


def test_what_others_counted_in_the_file_counts_for_a_new_process(tmp_path):
    first, second = (MemoryStore(Window(Rate(100, 60)), tmp_path / "limit") for _ in range(2))
    first.take("x", 10, None)
    assert second.take("x", 1, None).remaining == 100 - 10 - 1
    assert second.take("y", 1, None).remaining == 99


@contextmanager
def process_with_the_lock(path: Path) -> Iterator[Any]:
    def hold(ready: Any) -> None:
        file = os.open(path, os.O_RDWR)
        fcntl.lockf(file, fcntl.LOCK_EX)
        ready.set()
        signal.pause()

    ready = PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(ready,))
    process.start()
    assert ready.wait(PATIENCE)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def test_a_worker_that_dies_or_hangs_with_the_lock_stops_no_other(tmp_path):
    store = MemoryStore(Window(Rate(100, 60)), tmp_path / "limit")
    (file,) = tmp_path.iterdir()
    with process_with_the_lock(file) as process:
        began = time.monotonic()
        assert store.take("x", 1, None).tokens == 1
        assert time.monotonic() - began >= LOCK_SECONDS
        process.kill()
        process.join()
        assert store._memory._try_lock()


def test_with_any_number_of_clients_memory_is_bounded_and_the_quota_holds(monkeypatch):
    monkeypatch.setattr(memory_module, "MAX_CLIENTS", 50)
    monkeypatch.setattr("app.ratelimit.limiter.MAX_LEASES", 50)
    window = Window(Rate(10, 60))
    limiter = Limiter("read", window, [MemoryStore(window)])
    admitted = sum(limiter.admit(f"x{number}").retry_after is None for number in range(200))
    assert admitted == 50 + 10  # all further clients share one quota
    assert len(limiter._leases) == 50


def test_the_place_of_a_client_without_counted_tokens_is_used_again(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(memory_module, "MAX_CLIENTS", 50)
    window = Window(Rate(10, 60))
    store = MemoryStore(window)
    for round_ in range(5):
        clients = [f"x{round_} {number}" for number in range(50)]
        assert [store.take(client, 1, None).remaining for client in clients] == [9] * 50
        now[0] += 2 * window.seconds


def test_clients_have_their_own_quota_on_a_machine_that_has_just_started(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 20.0)  # it counts from the start
    store = MemoryStore(Window(Rate(1, 3_600)))
    assert [store.take(client, 1, None).tokens for client in "aabb"] == [1, 0, 1, 0]


def test_many_clients_have_each_their_own_quota():
    store = MemoryStore(Window(Rate(10, 60)))
    clients = [f"address 10.0.{n // 250}.{n % 250}" for n in range(10_000)]
    assert {store.take(client, 1, None).remaining for client in clients} == {9}
    assert {store.take(client, 1, None).remaining for client in clients} == {8}
