"""A short run of `make fuzz`: schemathesis finds no error."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from stress.fuzz.run import DATABASES, fuzz

SECONDS = 25
SEED = 20_240_101  # the same each time: `make fuzz` searches for new errors


@pytest.fixture(scope="module")
def runs():
    """The runs on all databases, at the same time: each uses one core at most."""
    with ThreadPoolExecutor() as pool:
        results = pool.map(partial(fuzz, seconds=SECONDS, seed=SEED), DATABASES)
        return dict(zip(DATABASES, results, strict=True))


@pytest.mark.parametrize("database", DATABASES)
def test_schemathesis_finds_no_error_with_the_whole_document(database, runs):
    run = runs[database]
    assert run.returncode == 0, f"seed {SEED}\n{run.stdout}"
    assert "No issues found" in run.stdout
    assert "Stateful" in run.stdout
