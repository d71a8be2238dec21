"""The check of many accounts under one budget: it passes, and it finds what is planted."""

import subprocess
import sys
from argparse import Namespace
from collections import Counter

from stress.agency import FAILURES, Agency
from tests.waiting import PATIENCE

SMALL = ["--accounts", "6", "--days", "4", "--kills", "1"]


def test_it_passes_with_few_accounts():
    command = [sys.executable, "-m", "stress.agency", *SMALL]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=10 * PATIENCE, check=False
    )
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "passed"), result.stdout


class Fetched(Agency):
    """An agency whose days are in memory."""

    def __init__(self, tmp_path):
        options = Namespace(seed=1, accounts=5, days=3, kills=0, option=[])
        super().__init__(self, tmp_path, options)
        self.counts = Counter(dict.fromkeys(self.wanted(), 3))
        failed = [[self.failing, self.failing_day]] * FAILURES
        self.calls, self.spent = [*map(list, self.wanted()), *failed], [self.limit]

    def rows(self):
        return self.counts

    def log(self):
        return {"calls": self.calls}


def test_a_lost_a_repeated_and_an_unpaid_day_are_found(tmp_path):
    assert Fetched(tmp_path).check() == []
    lost = Fetched(tmp_path)
    del lost.counts[next(iter(lost.counts))]
    assert lost.check() == ["1 days are missing or too many"]
    short = Fetched(tmp_path)
    short.counts[next(iter(short.counts))] = 2
    assert short.check() == ["1 days have other rows than the source"]
    twice = Fetched(tmp_path)
    twice.calls.append(twice.calls[0])
    assert twice.check() == ["1 days were fetched twice, at most 0 can have been lost"]
    spent = Fetched(tmp_path)
    spent.spent = [spent.limit + 1]
    assert "operations, but the budget" in spent.check()[0]
