"""A short run of `make subscriptions`, and proof that it finds what is broken."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from stress.broken import BROKEN_SUBSCRIPTIONS
from stress.subscriptions.run import check_subscriptions
from stress.subscriptions.transports import TRANSPORTS
from tests.databases import copy_of
from tests.waiting import PATIENCE

ERRORS = {
    "after": "missing",
    "repeat": "repeated",
    "swap": "out_of_order",
    "drop": "missing",
    "forgetful": "missing",
}
"""What the checker has to find in what followers received, by what is broken."""
ORDER = "order"
"""What breaks the log itself, while each follower receives what is in it."""


def test_each_follower_receives_the_log_while_workers_redis_and_deliverers_fail(
    postgres_url, migrated_postgres
):
    def is_busy_enough(seconds):
        # The checker expects the log from its beginning: each run needs a database of its own.
        with copy_of(postgres_url, migrated_postgres) as database:
            result = check_subscriptions(
                seed=20_240_101,
                seconds=seconds,
                timeout=PATIENCE,
                followers=18,
                writers=4,
                database=database,
            )
        assert result.passed, str(result)
        assert {one.transport for one in result.records} == TRANSPORTS.keys()
        drops = sum(one.drops for one in result.records)
        return len(result.log) >= 60 and drops > 10 and len(set(result.faults)) >= 4

    # On a busy machine little happens in the first run.
    assert any(is_busy_enough(seconds) for seconds in (8, 16, 32, 96))


def finds(result, name):
    """Return whether the checker has found what is broken."""
    if name == ORDER:
        return bool(result.log_errors)
    return any(getattr(one, ERRORS[name]) for one in result.followers)


@pytest.fixture(scope="module")
def broken_runs(migrated_sqlite, tmp_path_factory):
    """The results of all broken variants, which run at the same time: they mostly wait."""
    folder = tmp_path_factory.mktemp("broken")
    options = {"followers": 15, "writers": 4, "workers": 1}

    def run(name, seconds):
        path = shutil.copy(migrated_sqlite, folder / f"{name}-{seconds}.db")
        broken = {"forgetful": True} if name == "forgetful" else {"broken": name}
        return check_subscriptions(
            seed=1,
            seconds=seconds,
            # Only in this order each follower receives the last event: the others wait in vain.
            timeout=PATIENCE if name == ORDER else 5,
            redis=False,
            faults=False,
            only_asgi=True,
            database=f"sqlite:///{path}",
            **options,
            **broken,
        )

    def run_until_found(name):
        # On a busy machine little happens in the first run.
        for seconds in (2, 8, 32, 96):
            result = run(name, seconds)
            if finds(result, name):
                break
        return result

    names = [*ERRORS, ORDER]
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(run_until_found, names), strict=True))


@pytest.mark.parametrize("name", ERRORS)
def test_the_checker_finds_followers_that_do_not_receive_the_log(name, broken_runs):
    result = broken_runs[name]
    assert not result.passed
    assert finds(result, name)
    assert not result.log_errors


def test_the_checker_finds_positions_in_the_wrong_order(broken_runs):
    result = broken_runs[ORDER]
    assert not result.passed
    assert finds(result, ORDER)
    assert all(one.passed for one in result.followers)


def test_each_way_of_breaking_the_service_is_tested():
    assert {*BROKEN_SUBSCRIPTIONS, "forgetful"} == {*ERRORS, ORDER}
