"""The short form of `make torture`, and proof that its judge sees what it should."""

from stress.consistency.run import torture


def test_what_was_acknowledged_is_seen_and_kept_while_redis_and_workers_fail(postgres_copy):
    verdict = torture(seconds=18, seed=20_240_101, postgres_url=postgres_copy)
    assert verdict.passed, str(verdict)
    assert len(verdict.records.reads) > 300
    assert sum(write.acknowledged for write in verdict.records.writes) > 50
    assert len({fault.kind for fault in verdict.faults}) >= 5


def test_the_judge_sees_that_nothing_is_invalidated(postgres_copy):
    verdict = torture(seconds=2, seed=1, broken="forget", faults=False, postgres_url=postgres_copy)
    assert verdict.beyond
    assert {stale.read.kind for stale in verdict.beyond} >= {"product", "products", "ledger"}
    assert not verdict.lost
    assert not verdict.discord
