"""The budget of operations, which all runs share by a file."""

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from adsfetch.budget import BUCKET_SECONDS, WINDOW_SECONDS, Budget, BudgetSpentError
from adsfetch.errors import RateLimitError, StoreError

HOUR = 3_600


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


def take_all(path):
    budget, taken = Budget(path), 0
    with suppress(BudgetSpentError):
        while True:
            budget.take()
            taken += 1
    return taken


def test_without_a_limit_nothing_is_counted_or_written(tmp_path):
    budget = Budget(tmp_path / "operations.json")
    for _ in range(100):
        budget.take()
    assert budget.limit_and_left() is None
    assert list(tmp_path.iterdir()) == []


def test_a_spent_budget_raises_until_24_hours_have_passed(tmp_path):
    clock = Clock()
    budget = Budget(tmp_path / "operations.json", 10, clock)
    for _ in range(4):
        budget.take()
    clock.now += 10 * HOUR
    for _ in range(6):
        budget.take()
    with pytest.raises(BudgetSpentError, match="10 operations in 24 hours"):
        budget.take()
    assert budget.limit_and_left() == (10, 0)
    clock.now += WINDOW_SECONDS - 10 * HOUR
    with pytest.raises(RateLimitError) as waits:  # a run may wait for that
        budget.take()
    assert 0 < waits.value.retry_after <= BUCKET_SECONDS
    clock.now += BUCKET_SECONDS  # an interval counts until its last operation is 24 hours old
    assert budget.limit_and_left() == (10, 4)
    clock.now += 10 * HOUR
    assert budget.limit_and_left() == (10, 10)


def test_the_limit_is_remembered_and_another_one_replaces_it(tmp_path):
    path = tmp_path / "operations.json"
    Budget(path, 3).take()
    assert Budget(path).limit_and_left() == (3, 2)
    Budget(path, 5).take()
    assert Budget(path).limit_and_left() == (5, 3)
    assert Budget(path, 1).limit_and_left() == (1, 0)


def test_many_threads_and_processes_together_spend_no_more_than_the_limit(tmp_path):
    path = tmp_path / "operations.json"
    Budget(path, 301).take()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as processes, ThreadPoolExecutor(4) as threads:
        others = processes.map_async(take_all, [path] * 2)
        own = list(threads.map(take_all, [path] * 4))
        assert sum(own) + sum(others.get()) == 300


def test_what_a_clock_that_was_ahead_has_recorded_counts_as_spent_now(tmp_path):
    path, clock = tmp_path / "operations.json", Clock()
    clock.now += 1000 * HOUR
    Budget(path, 5, clock).take()
    clock.now -= 1000 * HOUR
    budget = Budget(path, 5, clock)
    budget.take()
    assert budget.limit_and_left() == (5, 3)
    clock.now += WINDOW_SECONDS + 2 * BUCKET_SECONDS
    assert budget.limit_and_left() == (5, 5)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"limit": "x"}', '{"spent": {"a": 1}}'])
def test_a_damaged_file_is_an_error_not_a_full_budget(tmp_path, text):
    path = tmp_path / "operations.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="delete it"):
        Budget(path).take()


def test_the_file_stays_small(tmp_path):
    path, clock = tmp_path / "operations.json", Clock()
    budget = Budget(path, 1_000_000, clock)
    for _ in range(1_500):
        clock.now += 200
        budget.take()
    assert len(json.loads(path.read_text())["spent"]) <= WINDOW_SECONDS / BUCKET_SECONDS + 2
    assert path.stat().st_size < 10_000
