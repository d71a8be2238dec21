import pytest

from stress.staleness import Answer, Clients


def write(began: float, ended: float, status: int = 201) -> Answer:
    return Answer(began, ended, 7, status)


def read(began: float, count: int) -> Answer:
    return Answer(began, began + 0.1, None, 200, shown={7: count})


def staleness(*answers: Answer) -> list[float]:
    clients = Clients(port=0)
    clients.answers.extend(answers)
    return [stale.seconds for stale in clients.stale()]


def test_an_answer_without_an_acknowledged_write_is_stale_since_that_acknowledgement():
    found = staleness(write(1.0, 2.0), write(3.0, 4.0), read(4.5, count=0))
    assert found == [pytest.approx(2.5)]


def test_an_answer_with_all_acknowledged_writes_is_fresh():
    assert staleness(write(1.0, 2.0), read(2.5, count=1)) == []


def test_a_write_that_was_acknowledged_after_the_read_began_may_be_missing():
    assert staleness(write(1.0, 2.0), read(1.5, count=0)) == []


def test_a_write_that_failed_may_be_missing():
    assert staleness(write(1.0, 2.0, status=503), read(2.5, count=0)) == []


def test_a_write_that_is_seen_before_its_acknowledgement_is_no_fault():
    assert staleness(write(1.0, 2.0), read(1.5, count=1)) == []
