"""Any sequence of fetches, failures, kills, wrong clocks and damage leaves a dataset right."""

from datetime import date

import pytest

from stress.days.broken import BROKEN
from stress.days.folder import Folder, is_complete
from stress.days.run import run_seed

DAY = date(2024, 3, 10)


def test_after_any_sequence_exactly_the_proved_days_are_held():
    run_seed(4, examples=10)


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_a_planted_fault_is_found(fault, monkeypatch):
    monkeypatch.setattr(*BROKEN[fault])
    with pytest.raises(AssertionError):
        run_seed(1, examples=100, shrink=False)


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        (b"", False),
        (b"date,n\n", True),
        (b"date,n\n2024-03-10,1\n", True),
        (b"date,n\n2024-03-10,1", False),
        (b"date,n\n2024-03-11,1\n", False),
        (b"date,m\n2024-03-10,1\n", False),
        (b"date,n\n2024-03-10,1,2\n", False),
    ],
)
def test_the_checker_knows_a_complete_file(content, complete):
    assert is_complete(DAY, content) is complete


def test_the_checker_believes_the_checksum_before_the_content(tmp_path):
    folder = Folder(tmp_path)
    folder.write(DAY, b"date,n\n2024-03-10,1\n")
    assert folder.proved().keys() == {DAY}
    (tmp_path / "manifest.jsonl").write_text('{"day": "2024-03-10", "sha256": "other"}\n{"da')
    assert folder.proved() == {}
