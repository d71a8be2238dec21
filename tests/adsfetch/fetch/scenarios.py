"""Days and sources that the tests of fetching share."""

from datetime import date, timedelta

from adsfetch import Retry, fetch_days

DAYS = [date(2024, 2, 27) + timedelta(number) for number in range(5)]
QUICK = Retry(attempts=3, wait_initial=0.001, wait_max=0.002)


def one_row(day):
    return [{"date": day, "clicks": day.day}]


def outcomes(source, days=DAYS, **more):
    more.setdefault("retry", QUICK)
    return {outcome.day: outcome for outcome in fetch_days(source, days, **more)}
