"""A short run of `make consistency`, and proof that it finds each broken cache."""

import pytest

from stress.broken import BROKEN_CACHE
from stress.consistency.run import check_consistency
from stress.consistency.watch import HEADS

# The fault that reveals what is broken, for so many seconds; the current fault always ends.
REVEALING_RUNS = {
    "forget": {"seconds": 5, "faults": False},
    "fine": {"seconds": 10, "faults": False},
    "lease": {"seconds": 4, "only": ["Redis frozen"], "recovery": 0},
    "run-id": {"seconds": 1.2, "only": ["Redis restarted with old data, no writes"], "recovery": 0},
}
DURATIONS = (15, 30, 60)
"""Seconds. On a busy machine little happens in the first run; no run may find a fault."""


def watched(output: str) -> list[list[int]]:
    """Return the figures of each second that was printed."""
    lines = (line.replace("%", "").split() for line in output.splitlines())
    return [[*map(int, line)] for line in lines if len(line) == len(HEADS) and line[0].isdigit()]


def test_acknowledged_writes_are_visible_and_stored_while_redis_and_workers_fail(
    postgres_copy, capsys
):
    def is_busy_enough(duration: float) -> bool:
        result = check_consistency(
            seconds=duration, seed=20_240_101, postgres_url=postgres_copy, watch=True
        )
        output = capsys.readouterr().out
        seconds = watched(output)
        reads = sum(second[1] for second in seconds)
        assert 0 < reads <= len(result.records.reads)
        assert not any(second[4] for second in seconds)
        for fault in result.faults:
            assert f"--  {fault.name}: over after " in output
        assert result.passed, str(result)
        writes = sum(write.acknowledged for write in result.records.writes)
        return reads > 300 and writes > 50 and len({fault.name for fault in result.faults}) >= 5

    assert any(is_busy_enough(duration) for duration in DURATIONS)


@pytest.mark.parametrize("broken", BROKEN_CACHE)
def test_the_checker_finds_the_stale_reads_of_a_broken_cache(broken, postgres_copy, capsys):
    def is_found(longer: int) -> bool:
        options = REVEALING_RUNS[broken]
        result = check_consistency(
            seed=1,
            workers=1,
            broken=broken,
            postgres_url=postgres_copy,
            watch=True,
            **{**options, "seconds": longer * options["seconds"]},
        )
        output = capsys.readouterr().out
        assert not result.lost
        if broken != "lease":  # without its look into the outbox, nothing delivers what is left
            assert not result.inconsistent
        if broken != "forget":
            return bool(result.forbidden)
        kinds = {stale.read.kind for stale in result.forbidden}
        seen = any(second[-1] for second in watched(output))
        return seen and kinds >= {"product", "products", "ledger"}

    assert any(is_found(longer) for longer in (1, 3, 9))
