"""Days of several accounts in one pool: their order, and errors that concern one account."""

from collections import Counter
from contextlib import closing
from datetime import date, timedelta
from itertools import count, islice
from threading import Lock

import pytest

from adsfetch.errors import (
    AuthorizationError,
    OAuthError,
    QueryError,
    QuotaError,
    RateLimitError,
    SourceDownError,
    UnconfirmedError,
)
from adsfetch.fetch.jobs import DayFailure, DayReport, Job
from adsfetch.fetch.pool import as_list, fetch_jobs
from adsfetch.fetch.retry import Retry
from adsfetch.fetch.throttle import Throttle
from tests.waiting import wait_until

TODAY = date(2024, 3, 10)
DAYS = [TODAY - timedelta(n) for n in range(6)]
QUICK = Retry(2, 0.001, 0.002)


class Accounts:
    """Sources of several accounts, which count and list their calls."""

    def __init__(self, count, errors=()):
        self.calls, self.order, self._lock = Counter(), [], Lock()
        self.errors = dict(errors)
        self.jobs = [
            Job(self._source(number), DAYS, as_list, 30, today=TODAY) for number in range(count)
        ]

    def _source(self, number):
        def fetch_data(day):
            with self._lock:
                self.calls[number] += 1
                self.order.append((day, number))
            if error := self.errors.get(number):
                raise error(day)
            return [{"account": number, "day": day}]

        return fetch_data

    def fetch(self, **options):
        outcomes = {}
        for job, outcome in fetch_jobs(self.jobs, retry=QUICK, **options):
            outcomes[self.jobs.index(job), outcome.day] = outcome
        return outcomes


def budget_of(number):
    """Return what may run before so many calls; before the next one it ends the run."""
    taken = count(1)  # threads cannot get the same number of it

    def take():
        if next(taken) > number:
            raise QuotaError("the budget is spent")

    return take


@pytest.mark.parametrize("budget", range(9))
def test_a_budget_that_ends_at_any_call_ends_the_run_and_fails_no_day(budget):
    """Days that wait for the first one of their account make no call that could be waited for."""
    accounts, outcomes = Accounts(3), []
    fetched = fetch_jobs(accounts.jobs, workers=4, retry=QUICK, before_call=budget_of(budget))
    with pytest.raises(QuotaError, match="budget"):
        outcomes.extend(fetched)
    assert accounts.calls.total() == budget
    assert not any(isinstance(outcome, DayFailure) for _, outcome in outcomes)


def refused(error):
    return lambda _day: UnconfirmedError(error, retried=False)


def test_the_newest_days_of_all_accounts_come_first_and_yesterday_before_today():
    accounts = Accounts(3)
    assert len(accounts.fetch(workers=1)) == 18
    days = [DAYS[1], DAYS[0], *DAYS[2:]]
    assert accounts.order == [(day, number) for day in days for number in range(3)]


def test_a_dead_account_ends_after_one_refusal_and_stops_no_other():
    accounts = Accounts(30, {n: refused(AuthorizationError("closed")) for n in range(20)})
    outcomes = accounts.fetch(workers=4)
    good = [key for key, outcome in outcomes.items() if isinstance(outcome, DayReport)]
    assert len(good) == 10 * len(DAYS)
    for job in accounts.jobs[:20]:
        assert isinstance(job.error, AuthorizationError)
        assert job.days == []
    assert all(job.error is None for job in accounts.jobs[20:])
    assert [accounts.calls[n] for n in range(20)] == [1] * 20


def test_an_account_that_was_served_needs_three_refusals():
    newest = DAYS[1]
    accounts = Accounts(
        2, {0: lambda day: UnconfirmedError(AuthorizationError("no"), retried=False)}
    )
    served = accounts.jobs[0].fetch_data
    accounts.jobs[0].fetch_data = lambda day: [1] if day == newest else served(day)
    outcomes = accounts.fetch(workers=1)
    assert isinstance(outcomes[0, newest], DayReport)
    assert 3 <= accounts.calls[0] <= 4  # one may have begun before the last was counted
    assert isinstance(accounts.jobs[0].error, AuthorizationError)


def test_a_query_that_ten_accounts_refuse_ends_the_run():
    accounts = Accounts(200, {n: refused(QueryError("typo")) for n in range(200)})
    with pytest.raises(QueryError, match="typo"):
        accounts.fetch(workers=1)
    assert sum(accounts.calls.values()) < 16


def test_revoked_credentials_end_the_run_of_all_accounts():
    accounts = Accounts(50, {n: refused(OAuthError("revoked")) for n in range(50)})
    with pytest.raises(OAuthError, match="revoked"):
        accounts.fetch(workers=2)
    assert sum(accounts.calls.values()) <= 4


def test_an_account_whose_days_all_fail_stops_no_other_and_a_source_that_is_down_ends_the_run():
    many = [date(2020, 1, 1) + timedelta(n) for n in range(100)]
    accounts = Accounts(2, {0: lambda _day: ValueError("broken")})
    accounts.jobs[0].days = sorted(many)
    outcomes = accounts.fetch(workers=1)
    assert isinstance(accounts.jobs[0].error, SourceDownError)
    assert sum(isinstance(each, DayReport) for each in outcomes.values()) == len(DAYS)
    down = Accounts(100, {n: lambda _day: ValueError("broken") for n in range(100)})
    with pytest.raises(SourceDownError):
        down.fetch(workers=1)


def test_a_limit_of_one_account_pauses_that_account_only():
    accounts, throttle = Accounts(3), Throttle(2)
    accounts.errors[0] = lambda _day: RateLimitError(60, account_only=True)
    with closing(fetch_jobs(accounts.jobs, workers=2, retry=QUICK, throttle=throttle)) as fetched:
        outcomes = list(islice(fetched, 2 * len(DAYS)))
    assert {accounts.jobs.index(job) for job, _ in outcomes} == {1, 2}
    assert all(isinstance(outcome, DayReport) for _, outcome in outcomes)
    assert accounts.calls[0] <= 2  # the days that had begun before the first refusal
    assert throttle.paused_seconds == 0


def test_a_run_ends_although_the_first_days_of_all_accounts_wait_for_a_call():
    accounts = Accounts(6)
    with pytest.raises(QuotaError, match="spent"):
        accounts.fetch(workers=16, before_call=budget_of(0))
    assert accounts.order == []


def test_a_run_ends_although_an_account_is_paused():
    accounts = Accounts(2)
    accounts.errors[0] = lambda _day: RateLimitError(300, account_only=True)
    accounts.errors[1] = lambda _day: (
        wait_until(lambda: accounts.jobs[0].resume_at) and (QuotaError("spent"))
    )
    with pytest.raises(QuotaError, match="spent"):
        accounts.fetch(workers=4)
