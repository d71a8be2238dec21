"""The short form of `make fuzz`: schemathesis finds nothing."""

import pytest

from stress.fuzz.run import DATABASES, fuzz

CLEAN = "No issues found"


@pytest.mark.parametrize("database", DATABASES)
def test_a_property_based_client_of_the_whole_document_finds_nothing(database):
    seed = 20_240_101  # the same each time: `make fuzz` looks for what is new
    done = fuzz(database, seconds=25, seed=seed)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr}"
    assert CLEAN in done.stdout
    assert "Stateful" in done.stdout
