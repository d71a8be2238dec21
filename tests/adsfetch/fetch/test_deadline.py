"""Calls that exceed their time limit are abandoned."""

import builtins
import subprocess
import sys
import threading

import adsfetch
from adsfetch import DayReport
from tests.adsfetch.fetch.scenarios import DAYS, one_row, outcomes


def test_a_hanging_call_is_abandoned_and_blocks_no_worker():
    stuck = threading.Event()

    def source(day):
        if day == DAYS[2]:
            stuck.wait()
        return one_row(day)

    found = outcomes(source, timeout=0.2, workers=1)
    stuck.set()
    assert isinstance(found[DAYS[2]].error, builtins.TimeoutError)
    assert isinstance(found[DAYS[2]].error, adsfetch.TimeoutError)
    assert found[DAYS[2]].tries == 1
    assert sum(isinstance(outcome, DayReport) for outcome in found.values()) == 4


def test_a_hanging_iterator_is_abandoned_too():
    stuck = threading.Event()

    def source(day):
        yield {"date": day}
        stuck.wait()

    found = outcomes(source, DAYS[:1], timeout=0.2)
    stuck.set()
    assert isinstance(found[DAYS[0]].error, adsfetch.TimeoutError)


def test_a_process_with_a_hanging_source_ends(tmp_path):
    program = (
        "import time; from datetime import date; from adsfetch import fetch_days\n"
        "print(list(fetch_days(lambda day: time.sleep(600), [date(2024, 1, 1)], timeout=0.2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert "StuckError" in done.stdout
