"""A short run of `make fuzz`: schemathesis finds no error."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from stress.fuzz.run import DATABASES, fuzz

SECONDS = (25, 75, 225)
"""The others are for a busy machine, on which the first one does not come to its last phase."""
SEED = 20_240_101  # the same each time: `make fuzz` searches for new errors


def run_all_phases(database):
    for seconds in SECONDS:
        run = fuzz(database, seconds=seconds, seed=SEED)
        if run.returncode or "Stateful" in run.stdout:
            break
    return run


@pytest.fixture(scope="module")
def runs():
    """The runs on all databases, at the same time: each uses one core at most."""
    with ThreadPoolExecutor() as pool:
        results = pool.map(run_all_phases, DATABASES)
        return dict(zip(DATABASES, results, strict=True))


@pytest.mark.parametrize("database", DATABASES)
def test_schemathesis_finds_no_error_with_the_whole_document(database, runs):
    run = runs[database]
    assert run.returncode == 0, f"seed {SEED}\n{run.stdout}"
    assert "No issues found" in run.stdout
    assert "Stateful" in run.stdout
