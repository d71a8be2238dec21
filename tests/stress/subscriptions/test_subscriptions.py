"""A short run of `make subscriptions`, and proof that it finds what is broken."""

import pytest

from stress.broken import BROKEN_SUBSCRIPTIONS
from stress.subscriptions.run import check_subscriptions

ERRORS = {"after": "missing", "repeat": "repeated", "swap": "out_of_order"}


def test_each_subscriber_receives_each_review_once_while_workers_and_redis_fail(postgres_copy):
    result = check_subscriptions(
        seed=20_240_101, reviews=60, seconds=8, subscribers=16, database=postgres_copy
    )
    assert result.passed, str(result)
    assert len(result.records.acknowledged) >= 60
    assert sum(one.drops for one in result.records.subscribers) > 10
    assert len(set(result.faults)) >= 4


def run_without_faults(database, **broken):
    options = {"reviews": 50, "seconds": 2, "subscribers": 16, "workers": 1, "timeout": 1}
    return check_subscriptions(
        seed=1, redis=False, faults=False, database=database, **options, **broken
    )


@pytest.mark.parametrize("broken", BROKEN_SUBSCRIPTIONS)
def test_the_checker_finds_how_the_service_is_broken(broken, sqlite_database):
    result = run_without_faults(sqlite_database, broken=broken)
    assert not result.passed
    assert any(getattr(one, ERRORS[broken]) for one in result.subscribers)
    assert not result.without_event


def test_the_checker_finds_what_subscribers_miss_that_do_not_resume(sqlite_database):
    result = run_without_faults(sqlite_database, forgetful=True)
    assert not result.passed
    assert any(one.missing for one in result.subscribers)
    assert not result.without_event
