"""A short run of `make consistency`, and proof that it finds each broken cache."""

import pytest

from stress.broken import BROKEN_CACHE
from stress.consistency.run import check_consistency

# The fault that reveals what is broken, for so many seconds; the current fault always ends.
REVEALING_RUNS = {
    "forget": {"seconds": 5, "faults": False},
    "lease": {"seconds": 4, "only": ["Redis frozen"], "recovery": 0},
    "run-id": {"seconds": 1.2, "only": ["Redis restarted with old data, no writes"], "recovery": 0},
}


def test_acknowledged_writes_are_visible_and_stored_while_redis_and_workers_fail(postgres_copy):
    result = check_consistency(seconds=15, seed=20_240_101, postgres_url=postgres_copy)
    assert result.passed, str(result)
    assert len(result.records.reads) > 300
    assert sum(write.acknowledged for write in result.records.writes) > 50
    assert len({fault.name for fault in result.faults}) >= 5


@pytest.mark.parametrize("broken", BROKEN_CACHE)
def test_the_checker_finds_the_stale_reads_of_a_broken_cache(broken, postgres_copy):
    result = check_consistency(
        seed=1, workers=1, broken=broken, postgres_url=postgres_copy, **REVEALING_RUNS[broken]
    )
    assert result.forbidden
    assert not result.lost
    if broken == "forget":
        assert {stale.read.kind for stale in result.forbidden} >= {"product", "products", "ledger"}
    if broken != "lease":  # without its look into the outbox, nothing delivers what is left there
        assert not result.inconsistent
