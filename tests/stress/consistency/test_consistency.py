"""A short run of `make consistency`, and proof that it finds each broken cache."""

import pytest

from stress.broken import BROKEN_CACHE
from stress.broken_rules import BROKEN_RULES
from stress.consistency.faults import REPLAY_PAUSED, WRITER_KILLED
from stress.consistency.run import check_consistency
from stress.consistency.watch import HEADS

# The fault that reveals what is broken, for so many seconds; the current fault always ends.
REVEALING_RUNS = {
    "forget": {"seconds": 5, "faults": False, "self_check": True},
    "fine": {"seconds": 10, "faults": False},
    "lease": {"seconds": 4, "only": ["Redis frozen"], "recovery": 0},
    "run-id": {"seconds": 1.2, "only": ["Redis restarted with old data, no writes"], "recovery": 0},
    "versions": {"seconds": 3, "faults": False},
    "position": {"seconds": 3, "faults": False, "database": "sqlite", "self_check": True},
    "early": {"seconds": 3, "faults": False},
    "memory": {"seconds": 2, "faults": False},
    "replica": {"seconds": 4, "only": [REPLAY_PAUSED], "replica": True, "recovery": 0},
    "removed": {"seconds": 2, "faults": False, "database": "sqlite"},
}
LISTS = {"books", "products", "search", "reviews", "ledger"}
FINDINGS = {
    "hidden": {"book", "books"},
    "moderator": {"review"},
    "ratings": {"books"},
    "hold": {"product", "products", "search", "ledger"},
    "bulk": {"product", "products", "search", "ledger"},
    "archived": {"products", "search"},
    "renamed": {"products", "search"},
    "expiry": {"product", "products", "search"},
    "cursor": LISTS - {"ledger"},
}
"""The kinds of reads of which at least one is wrong."""
DURATIONS = (15, 30, 60, 180)
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
            seconds=duration,
            seed=20_240_101,
            workers=3,
            url=postgres_copy,
            watch=True,
            self_check=True,
        )
        output = capsys.readouterr().out
        seconds = watched(output)
        reads = sum(second[1] for second in seconds)
        assert 0 < reads <= len(result.records.reads)
        assert not any(second[HEADS.index("errors")] for second in seconds)
        for fault in result.faults:
            assert f"--  {fault.name}: over after " in output
        assert result.passed, str(result)
        writes = sum(write.acknowledged for write in result.records.writes)
        memory = sum(read.response.is_memory_hit for read in result.records.reads)
        names = {fault.name for fault in result.faults}
        is_busy = reads > 300 and memory > 30 and writes > 50 and result.self_check.checked > 30
        return is_busy and WRITER_KILLED in names and len(names) >= 6

    assert any(is_busy_enough(duration) for duration in DURATIONS)


def test_on_sqlite_all_of_that_holds_without_redis(sqlite_database):
    def is_busy_enough(duration: float) -> bool:
        result = check_consistency(
            seconds=duration,
            seed=20_240_102,
            database="sqlite",
            workers=3,
            only=["worker killed", "workers replaced (HUP)"],  # a busy machine starts all slowly
            url=sqlite_database,
            self_check=True,
        )
        assert not result.stale
        assert result.passed, str(result)
        hits = sum(read.response.is_memory_hit for read in result.records.reads)
        writes = sum(write.acknowledged for write in result.records.writes)
        is_busy = hits > 150 and writes > 50 and result.self_check.checked > 30
        return is_busy and len({fault.name for fault in result.faults}) == 2

    assert any(is_busy_enough(duration) for duration in DURATIONS)


@pytest.mark.parametrize("broken", BROKEN_CACHE)
def test_the_checker_finds_the_stale_reads_of_a_broken_cache(broken, request, capsys):
    options = REVEALING_RUNS[broken]
    on_sqlite = options.get("database") == "sqlite"
    url = None
    if not options.get("replica"):  # which has a server of its own
        url = request.getfixturevalue("sqlite_database" if on_sqlite else "postgres_copy")

    def is_found(longer: int) -> bool:
        result = check_consistency(
            seed=1,
            workers=1,
            broken=broken,
            url=url,
            watch=True,
            **{**options, "seconds": longer * options["seconds"]},
        )
        output = capsys.readouterr().out
        assert not result.lost
        if broken != "lease":  # without its look into the outbox, nothing delivers what is left
            assert not result.inconsistent
        if result.self_check is not None and not result.self_check.stale:
            return False
        if broken != "forget":
            return bool(result.forbidden)
        kinds = {stale.kind for stale in result.forbidden}
        seen = any(second[-1] for second in watched(output))
        return seen and kinds >= {"product", "products", "ledger"}

    assert any(is_found(longer) for longer in (1, 3, 9, 27))


@pytest.mark.parametrize("broken", BROKEN_RULES)
def test_the_checker_finds_each_broken_rule(broken, postgres_copy, capsys):
    def is_found(seconds: int) -> bool:
        options = {"seed": 1, "workers": 1, "faults": False, "url": postgres_copy}
        result = check_consistency(seconds=seconds, broken=broken, **options)
        assert not result.failures
        if broken == "uncounted":
            return any("units are held of" in line for line in result.inconsistent)
        kinds = {stale.kind for stale in result.forbidden}
        assert not result.inconsistent
        assert kinds <= FINDINGS[broken]
        return bool(kinds)

    assert any(is_found(seconds) for seconds in (8, 25, 75, 225))
