"""A short run of `make subscriptions`, and proof that it finds what is broken."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from stress.broken import BROKEN_SUBSCRIPTIONS
from stress.subscriptions.run import check_subscriptions

ERRORS = {
    "after": "missing",
    "repeat": "repeated",
    "swap": "out_of_order",
    "forgetful": "missing",
}
"""What the checker has to find, by what is broken."""


def test_each_subscriber_receives_each_review_once_while_workers_and_redis_fail(postgres_copy):
    def is_busy_enough(seconds):
        result = check_subscriptions(
            seed=20_240_101, reviews=60, seconds=seconds, subscribers=16, database=postgres_copy
        )
        assert result.passed, str(result)
        assert len(result.records.acknowledged) >= 60
        drops = sum(one.drops for one in result.records.subscribers)
        return drops > 10 and len(set(result.faults)) >= 4

    # On a busy machine little happens in the first run.
    assert any(is_busy_enough(seconds) for seconds in (8, 16, 32))


@pytest.fixture(scope="module")
def broken_runs(migrated_sqlite, tmp_path_factory):
    """The results of all broken variants, which run at the same time: they mostly wait."""
    folder = tmp_path_factory.mktemp("broken")
    options = {"reviews": 50, "seconds": 2, "subscribers": 16, "workers": 1, "timeout": 5}

    def run(name):
        path = shutil.copy(migrated_sqlite, folder / f"{name}.db")
        broken = {"forgetful": True} if name == "forgetful" else {"broken": name}
        url = f"sqlite:///{path}"
        return check_subscriptions(
            seed=1, redis=False, faults=False, database=url, **options, **broken
        )

    with ThreadPoolExecutor() as pool:
        return dict(zip(ERRORS, pool.map(run, ERRORS), strict=True))


@pytest.mark.parametrize("name", ERRORS)
def test_the_checker_finds_what_is_broken(name, broken_runs):
    result = broken_runs[name]
    assert not result.passed
    assert any(getattr(one, ERRORS[name]) for one in result.subscribers)
    assert not result.without_event


def test_each_way_of_breaking_the_service_is_tested():
    assert {*BROKEN_SUBSCRIPTIONS, "forgetful"} == ERRORS.keys()
