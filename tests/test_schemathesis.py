"""The short form of `make fuzz`: schemathesis finds nothing."""

import random

import pytest

from bench.fuzz.run import DATABASES, fuzz

CLEAN = "No issues found"


@pytest.mark.parametrize("database", DATABASES)
def test_a_property_based_client_of_the_whole_document_finds_nothing(database):
    seed = random.randrange(2**32)
    done = fuzz(database, seconds=25, seed=seed)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr}"
    assert CLEAN in done.stdout
    assert "Stateful" in done.stdout
