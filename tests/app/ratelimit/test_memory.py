"""Token counts in memory."""

from app.config import Rate
from app.ratelimit import memory as memory_module
from app.ratelimit.limiter import Limiter
from app.ratelimit.memory import MemoryStore
from app.ratelimit.window import Window
from tests.app.ratelimit.steps import count_admitted


def test_without_redis_each_worker_has_its_part_of_the_quota(make_limited):
    app = make_limited(web_concurrency=2)
    assert count_admitted(app.test_client()) == 5


def test_with_any_number_of_clients_memory_is_bounded_and_the_quota_holds(monkeypatch):
    monkeypatch.setattr(memory_module, "MAX_CLIENTS", 50)
    monkeypatch.setattr("app.ratelimit.limiter.MAX_LEASES", 50)
    window = Window(Rate(10, 60))
    store = MemoryStore(window, 1)
    limiter = Limiter("read", window, [store])
    admitted = sum(limiter.admit(f"x{number}").retry_after is None for number in range(200))
    assert admitted == 50 + 10  # all further clients share one quota
    assert len(store._counts) == 51
    assert len(limiter._leases) == 50
